package proctable

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"syscall"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/sync/singleflight"

	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/cachepolicy"
	"github.com/aggrfs/aggrfs/pkg/snapshot"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// Read-ahead across processes: a requester who opens one file name process after process (ps
// environ, pgrep cgroup, pidof exe, pstree ns/*) gets it of all processes of a node with one
// exchange, where the policy lets the file be cached. What comes is put into the
// store, for the requester and nobody else. The exchange is made as the requester, so that the
// node's kernel decides about each process, and says why not; where the node has no such answers
// what its reader gets is given out as far as it is certain (Visibility).

// A habit is a requester (vfs.Identity.Key) and a file name, relative to a process directory.
type habit struct{ reader, name string }

// A streak is how far a requester has come with one name.
type streak struct {
	p      processKey // the last process
	length int        // different processes, one after the other
	at     time.Time
}

// A processKey tells a process from all others of the cluster.
type processKey struct {
	n    *Node
	leaf uint64
}

// streaks are who reads process after process, over all nodes of a cluster.
type streaks struct {
	mu   sync.Mutex
	last *lru.Cache[habit, streak] // changed under mu
}

const (
	// streakFrom is the process of a streak with which all the others of its node are
	// read ahead.
	streakFrom = 2
	// streakPause is a pause that ends a streak.
	streakPause = 2 * time.Second
	// maxStreaks bounds how many are remembered.
	maxStreaks = 1024
	// readAheadMost is how long it takes at most until a name can be read ahead again, and
	// readAheadRetry how long where that failed.
	readAheadMost, readAheadRetry = time.Minute, 5 * time.Second
)

func newStreaks() *streaks { return &streaks{last: newLRU[habit, streak](maxStreaks)} }

// newLRU is a cache of that many entries, of which the one that was used last goes last.
func newLRU[K comparable, V any](size int) *lru.Cache[K, V] {
	c, err := lru.New[K, V](size)
	if err != nil {
		panic(err) // it fails for sizes below 1 only
	}
	return c
}

// next notes that h's file of a process, or of one of its threads, was not cached, and reports
// whether it is one of a streak, and whether the one before was of the same process.
func (s *streaks) next(h habit, p processKey, now time.Time) (streak, same bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k, _ := s.last.Get(h)
	if now.Sub(k.at) > streakPause {
		k.length = 0
	}
	same = k.length > 0 && k.p == p
	if !same {
		k.length++
	}
	k.p, k.at = p, now
	s.last.Add(h, k)
	return k.length >= streakFrom, same
}

// readAhead is that of one node.
type readAhead struct {
	n       *Node
	flights singleflight.Group
	mu      sync.Mutex
	next    *lru.Cache[habit, time.Time] // guarded by mu; not before then again; nil is empty
}

// due reports whether a name can be read ahead now, and if so says when again.
func (a *readAhead) due(h habit, now, again time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.next == nil {
		a.next = newLRU[habit, time.Time](maxStreaks)
	}
	if next, ok := a.next.Get(h); ok && now.Before(next) {
		return false
	}
	a.next.Add(h, again)
	return true
}

// ReadAhead is the file of that name of a process as read-ahead has just brought it for who,
// not ok where read-ahead does not pay, fails, or leaves it to the node's kernel. It is called
// when the file is not cached. Of a node that is Live it only notes who reads it.
func (a *readAhead) ReadAhead(ctx context.Context, who vfs.Identity, pid gpid.PID, leaf uint64, name string) (content []byte, err error, ok bool) {
	n := a.n
	if n.Store == nil {
		return nil, nil, false
	}
	rule := n.Store.Policy().Rule(string(n.Name), strconv.Itoa(int(pid))+"/"+name)
	h := habit{who.Key(), name}
	if rule.Cache <= 0 {
		return nil, nil, false
	}
	if streak, _ := n.streaks.next(h, processKey{n, leaf}, n.Now()); !streak || n.Live() {
		return nil, nil, false
	}
	b := a.bring(ctx, h, who, time.Duration(rule.Cache))
	if b == nil {
		return nil, nil, false
	}
	r, ok := b.Lookup(pid)
	if !ok || r.ID() != leaf {
		return nil, nil, false
	}
	if content, err, ok = a.fileFor(b, r, who, name); cachepolicy.Unanswered(err) {
		return nil, nil, false
	}
	return content, err, ok
}

// FileOfAll is the file of that name of all processes of the node as read-ahead brings it for who, and
// FileOf what it says of one of them; nil is that read-ahead does not pay, fails, or has just
// been done: then what it brought is cached.
func (a *readAhead) FileOfAll(ctx context.Context, who vfs.Identity, name string) *Fetched {
	rule := a.n.Store.Policy().Rule(string(a.n.Name), "1/"+name)
	if rule.Cache <= 0 {
		return nil
	}
	return a.bring(ctx, habit{who.Key(), name}, who, time.Duration(rule.Cache))
}

// FileOf is said of FileOfAll. It is not ok where the node's kernel must say.
func (a *readAhead) FileOf(b *Fetched, r Row, who vfs.Identity, name string) (content []byte, err error, ok bool) {
	return a.fileFor(b, r, who, name)
}

// bring has one read a name ahead for all who wait for it.
func (a *readAhead) bring(ctx context.Context, h habit, who vfs.Identity, cache time.Duration) *Fetched {
	select {
	case r := <-a.flights.DoChan(h.reader+"\x00"+h.name, func() (any, error) { return a.bringAll(h, who, cache), nil }):
		return r.Val.(*Fetched)
	case <-ctx.Done():
		return nil
	}
}

// A Fetched is a file of all processes as one exchange has read it ahead.
type Fetched struct {
	*Table
	as bool // it is as the requester reads, and not as the node's reader
}

// bringAll reads a name ahead, unless that was done not long ago: what is missed now is new.
func (a *readAhead) bringAll(h habit, who vfs.Identity, cache time.Duration) *Fetched {
	n := a.n
	if !n.Begin() {
		return nil
	}
	defer n.Done()
	if now := n.Now(); !a.due(h, now, now.Add(min(cache, readAheadMost))) {
		return nil
	}
	b, err := a.takeAhead(who, h.name)
	if err != nil {
		n.Log.Debug("read-ahead", "file", h.name, "error", err)
		a.next.Add(h, n.Now().Add(readAheadRetry))
		return nil
	}
	return b
}

// takeAhead reads the file of that name of all processes and caches it for who.
func (a *readAhead) takeAhead(who vfs.Identity, name string) (*Fetched, error) {
	n := a.n
	k := n.Clock()
	if k == nil {
		return nil, fmt.Errorf("its boot is not known: %w", syscall.EAGAIN)
	}
	asked := n.Store.Now()
	b, err := a.ask(who, name)
	if err != nil {
		return nil, err
	}
	if b.Facts().BootID != k.BootID {
		return nil, fmt.Errorf("it was booted anew: %w", syscall.ESTALE)
	}
	for i := range b.Len() {
		r := b.Row(i)
		content, err, ok := a.fileFor(b, r, who, name)
		if !ok {
			continue
		}
		n.Store.Put(cachepolicy.Key{Process: n.CacheKey(k, r.PID(), r.ID()), Path: name, Reader: who.Key()}, asked, content, err)
	}
	return b, nil
}

// ask makes the exchange.
func (a *readAhead) ask(who vfs.Identity, name string) (*Fetched, error) {
	n, files := a.n, []string{name}
	if !n.Reads(who) {
		t, by, err := n.SnapshotAs(who, snapshot.Request{Files: files}, n.answerLimits())
		if err == nil {
			return &Fetched{&Table{Table: t, session: by}, true}, nil
		}
		if !errors.Is(err, errors.ErrUnsupported) {
			return nil, err
		}
		// In which form somebody else may have what the node's reader gets is known from
		// these two.
		files = []string{"stat", "status"}
		if name != "stat" && name != "status" {
			files = append(files, name)
		}
	}
	t, by, err := n.exchangeSnapshot(files...)
	if err != nil {
		return nil, err
	}
	return &Fetched{&Table{Table: t, session: by}, false}, nil
}

// fileFor is the file of a row as who would read it; not ok where the node's
// kernel must say.
func (a *readAhead) fileFor(b *Fetched, r Row, who vfs.Identity, name string) (content []byte, err error, ok bool) {
	v := Full
	if !b.as {
		v = a.n.Visibility(r, who)
		if v == Masked && a.n.Refuses(r, who, name) {
			return nil, syscall.EACCES, true
		}
	}
	content, err = r.File(v, name)
	if err == ErrAsk || err != nil && v == Masked {
		return nil, nil, false
	}
	return content, err, true
}
