package remotecalls

import (
	"bytes"
	"context"
	"encoding/binary"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/aggrfs/aggrfs/internal/procfile"
	"github.com/aggrfs/aggrfs/internal/seccomp"
)

// resources are the limits by number (getrlimit(2)): what proc_pid_limits(5) calls them, and
// cluster/ctl, which has the names of prlimit(1).
var resources = []struct{ shown, name string }{
	{"Max cpu time", "cpu"}, {"Max file size", "fsize"}, {"Max data size", "data"}, {"Max stack size", "stack"},
	{"Max core file size", "core"}, {"Max resident set", "rss"}, {"Max processes", "nproc"}, {"Max open files", "nofile"},
	{"Max locked memory", "memlock"}, {"Max address space", "as"}, {"Max file locks", "locks"}, {"Max pending signals", "sigpending"},
	{"Max msgqueue size", "msgqueue"}, {"Max nice priority", "nice"}, {"Max realtime priority", "rtprio"}, {"Max realtime timeout", "rttime"},
}

// An rlimit is struct rlimit64.
type rlimit struct{ soft, hard uint64 }

const (
	rlimitSize = 16
	infinity   = 1<<64 - 1 // RLIM_INFINITY
)

// prlimit is prlimit(2).
func prlimit(ctx context.Context, c *callOf, pid int32, resource uint32, to, from uint64) seccomp.Answer {
	var set *rlimit
	if to != 0 {
		var b [rlimitSize]byte
		if errno := c.mem.read(b[:], to); errno != 0 {
			return fails(errno)
		}
		set = &rlimit{binary.LittleEndian.Uint64(b[:]), binary.LittleEndian.Uint64(b[8:])}
	}
	p, errno := c.find(ctx, pid)
	if errno != 0 {
		return fails(errno)
	}
	status, errno := p.read(ctx, "status")
	if errno != 0 {
		return fails(errno)
	}
	if !mayLimit(c, status) {
		return fails(unix.EPERM)
	}
	if resource >= uint32(len(resources)) || set != nil && set.soft > set.hard {
		return fails(unix.EINVAL)
	}
	r := resources[resource]
	var was rlimit
	if from != 0 {
		limits, errno := p.read(ctx, "limits")
		if errno != 0 {
			return fails(errno)
		}
		var ok bool
		if was, ok = limitIn(limits, r.shown); !ok {
			return fails(unix.EIO)
		}
	}
	if set != nil {
		t, errno := p.whole(ctx)
		if errno != 0 {
			return fails(errno)
		}
		if a := c.does(ctx, t.text, "rlimit "+r.name+" "+limitText(set.soft)+":"+limitText(set.hard), unix.CAP_SYS_RESOURCE, false); a.Errno != 0 {
			return a
		}
	}
	if from != 0 {
		b := binary.LittleEndian.AppendUint64(nil, was.soft)
		return fails(c.mem.write(binary.LittleEndian.AppendUint64(b, was.hard), from))
	}
	return returns(0)
}

// mayLimit reports whether prlimit(2) lets the caller look at a process of that status: all of
// its ids are the caller's real ones.
func mayLimit(c *callOf, status []byte) bool {
	if c.who.isRoot(unix.CAP_SYS_RESOURCE) {
		return true
	}
	for key, mine := range map[string]uint32{"Uid": c.who.real, "Gid": c.who.realG} {
		theirs := ids(procfile.StatusValue(status, key))
		if len(theirs) < 3 || theirs[0] != mine || theirs[1] != mine || theirs[2] != mine {
			return false
		}
	}
	return true
}

// limitIn finds a limit in a limits file.
func limitIn(text []byte, shown string) (l rlimit, ok bool) {
	for line := range bytes.Lines(text) {
		rest, found := bytes.CutPrefix(line, []byte(shown+" "))
		fields := strings.Fields(string(rest))
		if !found || len(fields) < 2 {
			continue
		}
		soft, err1 := parseLimit(fields[0])
		hard, err2 := parseLimit(fields[1])
		return rlimit{soft, hard}, err1 == nil && err2 == nil
	}
	return l, false
}

func parseLimit(text string) (uint64, error) {
	if text == "unlimited" {
		return infinity, nil
	}
	return strconv.ParseUint(text, 10, 64)
}

func limitText(n uint64) string {
	if n == infinity {
		return "unlimited"
	}
	return strconv.FormatUint(n, 10)
}
