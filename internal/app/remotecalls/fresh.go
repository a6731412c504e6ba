package remotecalls

import (
	"bytes"
	"context"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aggrfs/aggrfs/internal/procfile"
)

const (
	// actedTime is for how long what the command has acted on is asked of its node: renice(1) and
	// taskset(1) ask at once for what they have set, and the tree may hold what was, for as long as
	// the policy of the cache says.
	actedTime = 30 * time.Second
	// actedMost bounds how many processes are remembered so.
	actedMost = 1 << 14
)

// An actedOn is what the command has acted on a moment ago. Its methods may be called
// concurrently.
type actedOn struct {
	mu  sync.Mutex
	all map[string]time.Time
}

// note notes an action on a target of cluster/ctl.
func (a *actedOn) note(target string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.all == nil || len(a.all) >= actedMost {
		a.all = make(map[string]time.Time)
	}
	a.all[actedKey(target)] = time.Now()
}

// lately reports whether there was one.
func (a *actedOn) lately(target string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	key := actedKey(target)
	at, ok := a.all[key]
	if ok && time.Since(at) > actedTime {
		delete(a.all, key)
		ok = false
	}
	return ok
}

// actedKey is the number of a target's process, thread or group.
func actedKey(target string) string {
	target, _, _ = strings.Cut(target, "#")
	return target[strings.LastIndexByte(target, '/')+1:]
}

// fresh asks the node of a process, or a thread, for what the tree may not tell yet; not ok is that
// the tree is to be asked.
func fresh(ctx context.Context, c *callOf, p *process, verb string) (value string, ok bool) {
	if !c.s.acted.lately(p.last()) {
		return "", false
	}
	t, errno := p.each(ctx)
	if errno != 0 {
		return "", false
	}
	return freshAt(ctx, c, t.text, verb)
}

// freshAt is fresh of a target of cluster/ctl that was acted on.
func freshAt(ctx context.Context, c *callOf, target, verb string) (value string, ok bool) {
	for _, who := range c.who.acts(unix.CAP_SYS_NICE, false) {
		if value, errno := c.ask(ctx, who, target, verb); errno == 0 {
			return value, true
		}
	}
	return "", false
}

// niceOf is the nice value of a process, or a thread.
func niceOf(ctx context.Context, c *callOf, p *process) (int64, unix.Errno) {
	if text, ok := fresh(ctx, c, p, "get-nice"); ok {
		if n, err := strconv.ParseInt(text, 10, 8); err == nil {
			return n, 0
		}
	}
	return p.field(fieldNice)
}

// policyOf is its scheduling policy and real-time priority.
func policyOf(ctx context.Context, c *callOf, p *process) (policy, priority int64, errno unix.Errno) {
	if text, ok := fresh(ctx, c, p, "get-sched"); ok {
		name, rest, _ := strings.Cut(text, " ")
		priority, err := strconv.ParseInt(rest, 10, 32)
		for policy, called := range policies {
			if called == name && err == nil {
				return policy, priority, 0
			}
		}
	}
	if policy, errno = p.field(fieldPolicy); errno == 0 {
		priority, errno = p.field(fieldRT)
	}
	return policy, priority, errno
}

// affinityOf is its mask of processors.
func affinityOf(ctx context.Context, c *callOf, p *process) ([]byte, unix.Errno) {
	status, errno := p.read(ctx, "status")
	if errno != 0 {
		return nil, errno
	}
	mask, ok := maskOf(procfile.StatusValue(status, "Cpus_allowed"))
	if !ok {
		return nil, unix.EIO
	}
	if text, ok := fresh(ctx, c, p, "get-affinity"); ok {
		if now := bytes.Clone(mask); setList(now, text) {
			mask = now
		}
	}
	return mask, 0
}

// setList makes a mask that of a list of processors, as listOf has it; not ok is that it has no room for them.
func setList(mask []byte, list string) bool {
	clear(mask)
	for part := range strings.SplitSeq(list, ",") {
		first, last, isRange := strings.Cut(part, "-")
		if !isRange {
			last = first
		}
		from, err1 := strconv.ParseUint(first, 10, 16)
		to, err2 := strconv.ParseUint(last, 10, 16)
		if err1 != nil || err2 != nil || from > to || to >= uint64(8*len(mask)) {
			return false
		}
		for cpu := from; cpu <= to; cpu++ {
			mask[cpu/8] |= 1 << (cpu % 8)
		}
	}
	return true
}
