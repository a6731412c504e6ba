package aggregate

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/cachepolicy"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// Readahead across processes: who opens one file name process after process (ps
// environ, pgrep cgroup, pidof exe) gets it of all processes of a node with one
// exchange, where the policy lets the file be held. What is brought lies in the
// store, for the reader by whom it was asked for and nobody else.

// A habit is a reader and a file name, relative to a process directory.
type habit struct{ reader, name string }

// A streak is how far a reader has come with one name.
type streak struct {
	p      processKey // the last process
	length int        // different processes in a row
	at     time.Time
}

// A processKey tells a process from all others of the cluster.
type processKey struct {
	n    *node
	leaf uint64
}

// streaks are who reads what process after process, over all nodes of a cluster.
type streaks struct {
	mu   sync.Mutex
	last map[habit]streak // guarded by mu
}

const (
	// streakFrom is the process in a row with which all the others of its node are
	// brought.
	streakFrom = 2
	// streakPause is a pause that ends a streak.
	streakPause = 2 * time.Second
	// maxStreaks bounds how many are remembered.
	maxStreaks = 1024
	// aheadMost is how long it takes at most until a name can be brought again, and
	// aheadRetry how long where bringing it failed.
	aheadMost, aheadRetry = time.Minute, 5 * time.Second
)

func newStreaks() *streaks { return &streaks{last: map[habit]streak{}} }

// next notes that h's file of a process was not held, and tells whether it is one
// of a streak.
func (s *streaks) next(h habit, p processKey, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	k, ok := s.last[h]
	switch {
	case !ok && len(s.last) >= maxStreaks:
		clear(s.last)
	case now.Sub(k.at) > streakPause:
		k.length = 0
	}
	if k.length == 0 || k.p != p {
		k.length++
	}
	k.p, k.at = p, now
	s.last[h] = k
	return k.length >= streakFrom
}

// An ahead is a name that is being brought of all processes of a node.
type ahead struct {
	done chan struct{}
	t    *table // set before done is closed; nil is none
}

// aheads are the names that are brought of one node.
type aheads struct {
	mu      sync.Mutex
	running map[habit]*ahead
	next    map[habit]time.Time // not before then again
}

// readAhead returns the table that has r's file as it was just brought of all
// processes of the node, nil where that does not pay or fails. It is called when
// the file is not held.
func (r *remote) readAhead(ctx context.Context) *table {
	n := r.n
	if r.proc == nil || len(r.path) != 2 || n.store == nil {
		return nil
	}
	name := r.path[1]
	rule := n.store.Policy().Rule(string(n.name), strings.Join(r.path, "/"))
	if rule.Cache <= 0 {
		return nil
	}
	h := habit{r.v.identity().Key(), name}
	if !n.streaks.next(h, processKey{n, r.proc.leaf}, n.now()) {
		return nil
	}
	a := n.startAhead(h, r.v.identity(), time.Duration(rule.Cache))
	if a == nil {
		return nil
	}
	select {
	case <-a.done:
		return a.t
	case <-ctx.Done():
		return nil
	}
}

// startAhead joins the bringing of a name that is under way, or starts one; nil
// where it was brought not long ago: what is missed now is new.
func (n *node) startAhead(h habit, who vfs.Identity, cache time.Duration) *ahead {
	n.aheads.mu.Lock()
	defer n.aheads.mu.Unlock()
	if a := n.aheads.running[h]; a != nil {
		return a
	}
	now := n.now()
	if now.Before(n.aheads.next[h]) || !n.begin() {
		return nil
	}
	if n.aheads.running == nil || len(n.aheads.next) >= maxStreaks {
		n.aheads.running, n.aheads.next = map[habit]*ahead{}, map[habit]time.Time{}
	}
	a := &ahead{done: make(chan struct{})}
	n.aheads.running[h] = a
	n.aheads.next[h] = now.Add(min(cache, aheadMost))
	go func() {
		defer n.wg.Done()
		defer close(a.done)
		t, err := n.takeAhead(who, h.name)
		n.aheads.mu.Lock()
		defer n.aheads.mu.Unlock()
		if delete(n.aheads.running, h); err != nil {
			n.log.Debug("readahead", "file", h.name, "error", err)
			n.aheads.next[h] = n.now().Add(aheadRetry)
			return
		}
		a.t = t
	}()
	return a
}

// begin counts something in that the node starts, unless nothing is started any
// more.
func (n *node) begin() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.over {
		return false
	}
	n.wg.Add(1)
	return true
}

// takeAhead brings the file of that name of all processes and holds it for who.
func (n *node) takeAhead(who vfs.Identity, name string) (*table, error) {
	k := n.clock.Load()
	if k == nil {
		return nil, fmt.Errorf("its boot is not known: %w", syscall.EAGAIN)
	}
	// In which form somebody else may have what the node's reader gets is known from
	// these two.
	files := []string{name}
	if !n.reads(who) {
		files = []string{"stat", "status"}
		if name != "stat" && name != "status" {
			files = append(files, name)
		}
	}
	asked := n.store.Now()
	got, err := n.exchangeSnapshot(files...)
	if err != nil {
		return nil, err
	}
	if got.Facts().BootID != k.bootID {
		return nil, fmt.Errorf("it was booted anew: %w", syscall.ESTALE)
	}
	t := &table{Table: got}
	for i := range t.Len() {
		content, err, ok := n.aheadFile(t, i, who, name)
		if !ok {
			continue
		}
		p := t.Proc(i)
		n.store.Put(cachepolicy.Key{
			Process: newProcess(n, gpid.PID(p.PID), p.ID, p.UID).kept(k.bootID), Path: name, Reader: who.Key(),
		}, asked, content, err)
	}
	return t, nil
}

// reads tells whether a snapshot of the node is what who would read.
func (n *node) reads(who vfs.Identity) bool {
	return who.Equal(n.reader) || who.IsRoot() && n.reader.IsRoot()
}

// aheadFile is the file of row i as who would read it; not ok where the node's
// kernel must say.
func (n *node) aheadFile(t *table, i int, who vfs.Identity, name string) (content []byte, err error, ok bool) {
	content, errno := t.File(i, t.fileIndex(name))
	switch n.form(t, i, who) {
	case full:
		if errno != 0 {
			return nil, errno, errno != errAsk
		}
		return content, nil, true
	case masked:
		if names := n.names.Load(); names != nil && names.process[name]&0o7777 == 0o400 {
			// The files of a process have one owner; none but that one may open it.
			owner := t.Proc(i).FileUID
			return nil, syscall.EACCES, owner != vfs.NoID && owner != who.UID
		}
		if errno == 0 {
			content, ok = mask(name, content)
		}
		return content, nil, ok
	}
	return nil, nil, false
}

// brought is r's file as t has it, not ok if it must be asked for.
func (r *remote) brought(t *table) (content []byte, err error, ok bool) {
	if t == nil {
		return nil, nil, false
	}
	i, ok := t.Find(int32(r.proc.pid))
	if !ok || t.Proc(i).ID != r.proc.leaf {
		return nil, nil, false
	}
	if content, err, ok = r.n.aheadFile(t, i, r.v.identity(), r.path[1]); cachepolicy.Unanswered(err) {
		return nil, nil, false
	}
	return content, err, ok
}
