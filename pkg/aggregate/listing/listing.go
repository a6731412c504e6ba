// Package listing keeps what the readers of mounts have listed, so that a listing is a promise.
//
// A reader is a mount and a thread group, or the mount alone where a request does not tell its
// thread. After a reader has read a root from offset 0, the
// first open of each file that sweeps bring, of each process of another node that was listed,
// is answered from the tables of that listing, whatever has become of the process since; every
// later open by the policy. So a reader who takes half a minute for all processes sees each
// once, as of one moment of each node. Whether they may see it is asked at each open, by those
// who answer (package remote).
//
// # Identity
//
// A listing names a process by its node and the leaf's number for it, which differs from
// process to process. For as long as it lasts its reader finds that process at the pid, even if
// another has the pid meanwhile, so that files of two processes are not taken for those of one.
//
// # Memory
//
// A [Listing] shares the records of the nodes' tables of today where those have not changed, and
// has the others to itself; beside them it has four bytes and a few bits a row (part.go). It
// ends with its time, by a timer; when the reader lists again, or has ended; with its mount; with
// a change of the policy; and when its user has too many, see maxListings and maxOld.
//
// Everything exported may be used concurrently.
package listing

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"iter"
	"maps"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
	"weak"

	"github.com/aggrfs/aggrfs/internal/procfile"
	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/proctable"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

const (
	// maxListings is how many listings a user has at once, over all mounts. With another those
	// of readers that have ended end, or else the oldest.
	maxListings = 8
	// maxOld is how many bytes of records that have changed since the listings of a user hold.
	// Beyond it they end, the oldest first, but for the last one.
	maxOld = 1 << 30
	// maxThreads is of how many threads a mount remembers the group.
	maxThreads = 4096
)

// Config is what listings are made with.
type Config struct {
	// Proc is the native procfs, by which a thread's group is found.
	Proc string
	// Time is for how long a listing is a promise; 0 is not at all.
	Time func() time.Duration
}

// Listings are those of all mounts of a cluster.
type Listings struct {
	Config
	mu   sync.Mutex          // locked after a mount's
	held map[user][]*Listing // guarded by mu; the oldest first
	era  int                 // guarded by mu; how often all were dropped
}

// A user is by whom listings are counted: with whatever groups.
type user struct {
	uid  uint32
	cert string
}

// New is no listing yet.
func New(cfg Config) *Listings { return &Listings{Config: cfg, held: map[user][]*Listing{}} }

// A Mount is whose readers have listings.
type Mount struct {
	all *Listings
	any atomic.Int32 // how many are in by

	mu     sync.RWMutex
	closed bool                // guarded by mu
	by     map[reader]*Listing // guarded by mu
	// threads are the groups of threads, as they were found since the last listing ended. A
	// number may be another thread's since: then a reader of that mount sees another moment of it
	// than they should, and nothing else.
	threads map[uint32]int // guarded by mu
}

// A reader is who has a listing of a mount.
type reader struct {
	root  rootKey
	group int // the thread group; 0 is the mount as a whole, where requests do not tell
}

// A rootKey tells a root of a mount, as one identity sees it, from others.
type rootKey struct{ who, path string }

// NewMount is a mount without listings. Close ends it.
func (all *Listings) NewMount() *Mount {
	return &Mount{all: all, by: map[reader]*Listing{}, threads: map[uint32]int{}}
}

// Close drops the listings of the mount; there are none afterwards.
func (m *Mount) Close() {
	m.mu.Lock()
	m.closed = true
	list := slices.Collect(maps.Values(m.by))
	m.mu.Unlock()
	for _, l := range list {
		l.end()
	}
}

// A Root is a root directory of a mount, as one identity sees it. A nil Root is one of which
// nobody has listings.
type Root struct {
	m    *Mount
	key  rootKey
	user user
}

// Root is the root at that path. Two of the same identity and path have the same listings.
func (m *Mount) Root(who vfs.Identity, path string) *Root {
	if m == nil {
		return nil
	}
	return &Root{m, rootKey{who.Key(), path}, user{who.UID, who.Cert}}
}

// At is the root at another path of the mount, for the same identity.
func (r *Root) At(path string) *Root {
	if r == nil {
		return nil
	}
	return &Root{r.m, rootKey{r.key.who, path}, r.user}
}

// A Listing is what one reader was listed. A nil Listing is none.
type Listing struct {
	root   *Root
	era    int // in which it was begun
	reader reader
	parts  []*part     // by the nodes' indexes
	timer  *time.Timer // guarded by the mount's mu
}

// Begin is a listing of the root to which its rows are to be added; nil is that it is no
// promise.
func (r *Root) Begin() *Listing {
	if r == nil || r.m.all.Time() <= 0 {
		return nil
	}
	all := r.m.all
	all.mu.Lock()
	defer all.mu.Unlock()
	return &Listing{root: r, era: all.era}
}

// Add adds a row of a node, node by node in the order of their indexes. Processes of the head,
// which is the reader's own machine, are not promised.
func (l *Listing) Add(n *proctable.Node, r proctable.Row) {
	if l == nil || n.Index == 0 {
		return
	}
	if k := len(l.parts); k == 0 || l.parts[k-1].n != n {
		l.parts = append(l.parts, newPart(n, r.Table))
	}
	l.parts[len(l.parts)-1].set(r.I, 0)
}

// Keep makes l the listing of who makes the request, in place of the one before. Of nothing but
// rows of the head none is kept.
func (r *Root) Keep(ctx context.Context, l *Listing) {
	if r == nil || l == nil && r.m.any.Load() == 0 {
		return
	}
	m, span, key := r.m, r.m.all.Time(), reader{r.key, 0}
	if caller, ok := vfs.CallerOf(ctx); ok {
		key.group = m.group(caller.TID)
	}
	m.mu.RLock()
	before := m.by[key]
	m.mu.RUnlock()
	before.end()
	if l == nil || len(l.parts) == 0 || span <= 0 {
		return
	}
	l.reader = key
	m.mu.Lock()
	var list []*Listing
	if !m.closed && m.by[key] == nil { // or it was listed twice at once
		list = m.all.add(r.user, l)
	}
	if len(list) > 0 {
		m.by[key] = l
		m.any.Store(int32(len(m.by)))
		// The runtime holds on to a timer that was stopped.
		w := weak.Make(l)
		l.timer = time.AfterFunc(span, func() { w.Value().end() })
	}
	m.mu.Unlock()
	bound(list)
}

// end ends the listing.
func (l *Listing) end() {
	if l == nil {
		return
	}
	m := l.root.m
	m.mu.Lock()
	defer m.mu.Unlock()
	l.timer.Stop()
	if m.by[l.reader] == l {
		delete(m.by, l.reader)
		m.any.Store(int32(len(m.by)))
		clear(m.threads)
	}
	m.all.remove(l.root.user, l)
}

// add counts a listing, and returns all of its user, the oldest first; none if it was begun
// before all were dropped.
func (all *Listings) add(u user, l *Listing) []*Listing {
	all.mu.Lock()
	defer all.mu.Unlock()
	if l.era != all.era {
		return nil
	}
	all.held[u] = append(all.held[u], l)
	return slices.Clone(all.held[u])
}

// bound ends listings of one user, the oldest of which are first.
func bound(list []*Listing) {
	if len(list) > maxListings {
		list = left(list)
	}
	for len(list) > maxListings {
		list[0].end()
		list = list[1:]
	}
	old := 0
	for i := len(list) - 1; i >= 0; i-- {
		for _, p := range list[i].parts {
			old += p.size()
		}
		if old > maxOld && i < len(list)-1 {
			list[i].end()
		}
	}
}

// left are those listings whose readers have not ended. It ends the others.
func left(list []*Listing) []*Listing {
	return slices.DeleteFunc(list, func(l *Listing) bool {
		group := l.reader.group
		if group == 0 {
			return false
		}
		_, err := os.Lstat(l.root.m.all.Proc + "/" + strconv.Itoa(group))
		over := errors.Is(err, fs.ErrNotExist)
		if over {
			l.end()
		}
		return over
	})
}

func (all *Listings) remove(u user, l *Listing) {
	all.mu.Lock()
	defer all.mu.Unlock()
	list := slices.DeleteFunc(all.held[u], func(o *Listing) bool { return o == l })
	if all.held[u] = list; len(list) == 0 {
		delete(all.held, u)
	}
}

// users are the listings of each user.
func (all *Listings) users() (lists [][]*Listing) {
	all.mu.Lock()
	defer all.mu.Unlock()
	for _, list := range all.held {
		lists = append(lists, slices.Clone(list))
	}
	return lists
}

// Swept has the listings share what they can with the table that a node has now, in place of the
// one before.
func (all *Listings) Swept(n *proctable.Node) {
	for _, list := range all.users() {
		for _, l := range list {
			if p := l.part(n); p != nil {
				p.rebase()
			}
		}
	}
}

// Tidy ends those whose readers have ended, or that have come to hold too much.
func (all *Listings) Tidy() {
	for _, list := range all.users() {
		list = left(list)
		for _, l := range list {
			for _, p := range l.parts {
				p.rebase() // the node's table may have come before the listing was kept
			}
		}
		bound(list)
	}
}

// Drop ends all that there are or have been begun.
func (all *Listings) Drop() {
	all.mu.Lock()
	all.era++
	all.mu.Unlock()
	for _, list := range all.users() {
		for _, l := range list {
			l.end()
		}
	}
}

// group finds the group of a thread and remembers it, which costs some 20 µs. A thread that
// cannot be found is a group of its own.
func (m *Mount) group(tid uint32) int {
	group, err := procfile.ThreadGroup(m.all.Proc, int(tid))
	if err != nil {
		group = int(tid)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.threads) >= maxThreads {
		clear(m.threads)
	}
	m.threads[tid] = group
	return group
}

// of is the listing of who makes a request; nil is none.
func (r *Root) of(ctx context.Context) *Listing {
	if r == nil || r.m.any.Load() == 0 {
		return nil
	}
	m, key := r.m, reader{r.key, 0}
	m.mu.RLock()
	if caller, ok := vfs.CallerOf(ctx); ok {
		if key.group, ok = m.threads[caller.TID]; !ok {
			m.mu.RUnlock()
			key.group = m.group(caller.TID)
			m.mu.RLock()
		}
	}
	l := m.by[key]
	m.mu.RUnlock()
	return l
}

// An Entry is a process in a listing. The zero Entry is none.
type Entry struct {
	proctable.Row
	p *part
	i int // in the listing
}

// Find is the process that who makes the request was listed at that pid of a node, none if
// there was none.
func (r *Root) Find(ctx context.Context, n *proctable.Node, pid gpid.PID) Entry {
	return r.of(ctx).find(n, pid)
}

func (l *Listing) find(n *proctable.Node, pid gpid.PID) Entry {
	if p := l.part(n); p != nil {
		return p.find(pid)
	}
	return Entry{}
}

// part is the part of a node; nil is none.
func (l *Listing) part(n *proctable.Node) *part {
	if l == nil {
		return nil
	}
	k, ok := slices.BinarySearchFunc(l.parts, n.Index, func(p *part, index int) int { return cmp.Compare(p.n.Index, index) })
	if !ok {
		return nil
	}
	return l.parts[k]
}

// Contested reports whether some reader of the mount was listed another process at that pid
// than leaf numbers, so that nobody must keep what the name means.
func (r *Root) Contested(n *proctable.Node, pid gpid.PID, leaf uint64) bool {
	for e := range r.entries(n, pid) {
		if e.ID() != leaf {
			return true
		}
	}
	return false
}

// Differs reports whether some reader of the mount may be given a file of that process as
// another row than that has it.
func (r *Root) Differs(n *proctable.Node, row proctable.Row, name string) bool {
	for e := range r.entries(n, row.PID()) {
		if k := e.Table.FileIndex(name); e.ID() == row.ID() && k >= 0 && !e.Given(k) && !e.Same(row) {
			return true
		}
	}
	return false
}

// entries are the processes at that pid in all listings of the mount.
func (r *Root) entries(n *proctable.Node, pid gpid.PID) iter.Seq[Entry] {
	return func(yield func(Entry) bool) {
		if r == nil || r.m.any.Load() == 0 {
			return
		}
		r.m.mu.RLock()
		defer r.m.mu.RUnlock()
		for _, l := range r.m.by {
			if e := l.find(n, pid); e.OK() && !yield(e) {
				return
			}
		}
	}
}

// Given reports whether file k of the table has been given.
func (e Entry) Given(k int) bool { return e.p.has(e.i, k+1) }

// Take has file k of the table be given, and reports whether it had not been: one open gets it.
func (e Entry) Take(k int) bool { return e.p.set(e.i, k+1) }

// Among finds the processes of the same node in the listing.
func (e Entry) Among() interface {
	Lookup(gpid.PID) (proctable.Row, bool)
} {
	return e.p
}
