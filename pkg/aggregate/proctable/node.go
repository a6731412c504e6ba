package proctable

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/aggrfs/aggrfs/internal/procfile"
	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/upstream"
	"github.com/aggrfs/aggrfs/pkg/cachepolicy"
	"github.com/aggrfs/aggrfs/pkg/snapshot"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// Config is what the nodes of a front end have in common.
type Config struct {
	// Policy is the cache policy in force now.
	Policy func() *cachepolicy.Policy
	// Store is what is cached of the nodes besides the tables; nil is nothing.
	Store *cachepolicy.Store
	// Numbers are the gpids.
	Numbers *gpid.Numbering
	// Host is the front end's own machine.
	Host Host
	// CgroupNode puts the paths of <pid>/cgroup of all nodes but the head below
	// <node>.slice.
	CgroupNode bool
}

// Traits are what one node has of its own.
type Traits struct {
	// MaxProcs is how many processes it may have; 0 is no limit.
	MaxProcs int
	// Listing: it is a node as another front end shows it. Its snapshots have the processes that
	// there are when they are asked for, so that a listing needs nothing else; and what is shown of a
	// node that does not answer is that one's to say.
	Listing bool
	// Swept is called after each snapshot that came; nil is nobody. It answers soon.
	Swept func()
}

// lease is for how many times the time that it took to get a table is good at least.
const lease = 2

// Shared is what the nodes of a front end share.
type Shared struct {
	Config
	budget  *budget
	names   *nameLists
	streaks *streaks
	// Terminals are those of all nodes.
	Terminals *Terminals
}

// NewShared makes what nodes share.
func NewShared(cfg Config) *Shared {
	return &Shared{Config: cfg, budget: newBudget(), names: newNameLists(), streaks: newStreaks(), Terminals: new(Terminals)}
}

// A Node is an upstream and the table of its processes.
type Node struct {
	*upstream.Node
	*Shared
	traits Traits

	table  atomic.Pointer[Table] // what the last sweep brought, perhaps out of date; nil is nothing
	sweeps atomic.Uint64         // how often table was replaced
	took   atomic.Int64          // how long the last sweep took that did so, ns
	clocks clocks                // of the boots that it had

	readAhead
	cgroups cgroups
	figures figures

	stale     atomic.Int64  // when an old value was shown last, since the node did not answer, ns since 1970
	missed    atomic.Uint64 // how many answers had to do without it, see Missed
	withdrawn atomic.Bool   // the last listing lacked its rows
	lagging   atomic.Bool   // its last snapshot did not come in time, see ListWait
	late      atomic.Int32  // processes read one by one since the table expired, see Renew
	latePID   atomic.Int32  // the last of them

	first     chan struct{} // closed when a snapshot has come, or has failed, once
	firstOnce sync.Once

	mu       sync.Mutex
	fetch    *fetch    // guarded by mu; the sweep under way, if any
	refused  time.Time // guarded by mu; when a snapshot was last too much, since it was too long
	sweepErr error     // guarded by mu; what was wrong with the last snapshot; nil if nothing
	lacks    error     // guarded by mu; what is missing from the last one that came; nil if nothing
}

// New makes a node of whose processes nothing is known yet. cfg.Changed is the node's own.
func New(ctx context.Context, s *Shared, cfg upstream.Config, traits Traits) *Node {
	n := &Node{Shared: s, traits: traits, first: make(chan struct{}), cgroups: newCgroups()}
	n.figures.turn = semaphore.NewWeighted(1)
	n.readAhead.n = n
	n.clocks = clocks{n, newLRU[string, *Clock](maxBoots)}
	cfg.Changed = n.changed
	n.Node = upstream.New(ctx, cfg)
	return n
}

// changed takes note of another state of the node.
func (n *Node) changed(s upstream.State) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if s == upstream.Up && cachepolicy.Unanswered(n.sweepErr) {
		n.sweepErr = nil // it answers again
		n.lagging.Store(false)
	}
	n.refused = time.Time{} // it may have been silent, and not too much
}

// Problem is what an admin should know of the node, nil if all is well.
func (n *Node) Problem() error {
	if h := n.Health(); h.State != upstream.Up && h.Err != nil {
		return h.Err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.sweepErr != nil {
		return n.sweepErr
	}
	return n.lacks
}

// GPID is the gpid of a process of the node; 0 is that it has none.
func (n *Node) GPID(pid gpid.PID) gpid.GPID { return n.Numbers.GPID(n.Index, pid) }

// GPIDFor is the same for a reader on machine h.
func (n *Node) GPIDFor(h Host, pid gpid.PID) gpid.GPID {
	g := n.GPID(pid)
	if h.Elsewhere && n.Index == 0 && g != 0 {
		g += gpid.Elsewhere
	}
	return g
}

// MaxProcs is how many processes the node may have; 0 is no limit.
func (n *Node) MaxProcs() int { return n.traits.MaxProcs }

// Sweeps is how often a sweep has brought a table.
func (n *Node) Sweeps() uint64 { return n.sweeps.Load() }

// SweepTime is how long the last of them took; 0 is that there was none.
func (n *Node) SweepTime() time.Duration { return time.Duration(n.took.Load()) }

// Tidy drops what is cached of the node beside its table and can be used by nobody any more.
func (n *Node) Tidy() { n.cgroups.tidy(n.Now()) }

// PolicyChanged drops what was cached by the rules of the policy before.
func (n *Node) PolicyChanged() { n.cgroups.drop() }

// takeSnapshot has the node say what its processes are, as they were at most maxAge
// ago, or what has changed since the last table; with its figures, if they are wanted.
func (n *Node) takeSnapshot(maxAge time.Duration, withFigures bool) (*Table, error) {
	asked, policy := n.Now(), n.Policy()
	req := snapshot.Request{Files: policy.Prefetch(), Remember: true, MaxAge: maxAge}
	req.Figures = withFigures && n.hasFigures(n.Session())
	t, by, err := n.ask(req, n.table.Load())
	if err != nil {
		return nil, err
	}
	if t.Figures() != nil {
		n.figures.keep(upstream.HeldFigures{Figures: t.Figures(), By: by}, n.Now())
	}
	facts := t.Facts()
	keep := policy.Table()
	if facts.Keep > 0 {
		keep = min(facts.Keep, maxKeep)
	}
	// One that took longer to get than it may be cached would be of no use to whoever
	// reads on from it.
	took := n.Now().Sub(asked)
	moment := asked.Add(-min(facts.Age, maxAge))
	return &Table{
		Table: t, session: by, requested: asked, moment: moment, took: took,
		expires: moment.Add(max(keep, lease*took)),
	}, nil
}

// exchangeSnapshot has the node say what certain files of its processes are.
func (n *Node) exchangeSnapshot(files ...string) (*snapshot.Table, *upstream.Session, error) {
	return n.ask(snapshot.Request{Files: files}, nil)
}

const (
	// maxKeep bounds how long an upstream can have its answer cached.
	maxKeep = time.Minute
	// maxExpect is how much is asked for at most before the length of an answer is known,
	// in bytes. The first difference is shorter than the whole before it.
	maxExpect = 16 << 10
)

// ask makes one exchange for a snapshot; base is the last table of the same files, nil for
// none.
func (n *Node) ask(req snapshot.Request, base *Table) (t *snapshot.Table, by *upstream.Session, err error) {
	var before *snapshot.Table
	var of *upstream.Session
	limits := n.answerLimits()
	if base != nil && base.session.Live() {
		before, of = base.Table, base.session
		limits.Expect = min(before.Received()+before.Received()/4, maxExpect)
	}
	t, by, err = n.Snapshot(req, before, of, n.figures.last(), limits)
	var much *snapshot.ErrTooMuch
	switch {
	case errors.As(err, &much) && !much.PIDMax && n.traits.MaxProcs > 0:
		err = fmt.Errorf("snapshot: %w (max_processes in the configuration)", err)
	case err != nil:
		err = fmt.Errorf("snapshot: %w%s", err, remedy(err))
	}
	return t, by, err
}

// answerLimits bound what the node can answer.
func (n *Node) answerLimits() (l snapshot.Limits) {
	n.mu.Lock()
	doubtful := n.sweepErr != nil
	n.mu.Unlock()
	l.Room, l.Turn = n.budget.limits(doubtful)
	if most := n.traits.MaxProcs; most > 0 {
		l.Procs, l.Answer = most, max(minAnswer, most*perProcess)
	}
	return l
}

const (
	// perProcess is how many bytes of answer a node may have for each process that it
	// may have: twice what the files of most come to.
	perProcess = 1 << 10
	// minAnswer is what it may have in any case, in bytes: some processes have arguments
	// of 64 KiB.
	minAnswer = 32 << 20
)

// Table is the table that the last sweep brought, perhaps out of date; nil is none.
func (n *Node) Table() *Table { return n.table.Load() }

// Known is the last table if it came by the node's last session; nil is that nothing is known
// yet of the node as it is.
func (n *Node) Known() *Table {
	if t := n.table.Load(); t != nil && t.session == n.Session() {
		return t
	}
	return nil
}

// Clock is that of the node's boot; nil is that it is not known yet, on this session.
func (n *Node) Clock() *Clock {
	if t := n.Known(); t != nil {
		return t.Clock
	}
	return nil
}

// ProcessNames are the names that a process directory of the node has; nil is that they are
// not known.
func (n *Node) ProcessNames() *Names {
	if t := n.Known(); t != nil {
		return t.Names
	}
	return nil
}

// Live reports whether the node is the front end's own machine. Its processes are those of the
// readers themselves, who have started, killed and waited for them a moment ago: they are asked
// for at each use, and nothing that is said of them may be cached.
func (n *Node) Live() bool { return n.Index == 0 }

// Lookup finds a process in the table that readers are served from (see Current), and only if
// it is the very process that leaf names. keep is how much longer the row is good, 0 where
// the node is Live.
func (n *Node) Lookup(pid gpid.PID, leaf uint64) (r Row, keep time.Duration) {
	t, keep := n.Current()
	if t == nil {
		return Row{}, 0
	}
	r, ok := t.Lookup(pid)
	if !ok || r.ID() != leaf {
		return Row{}, 0
	}
	if _, ended := t.gone.Load(leaf); ended {
		return Row{}, 0
	}
	if n.Live() {
		keep = 0
	}
	return r, keep
}

// Ended notes that a process has ended.
func (n *Node) Ended(pid gpid.PID, leaf uint64) {
	if r, _ := n.Lookup(pid, leaf); r.OK() {
		r.Table.gone.Store(leaf, true)
	}
	if k := n.Clock(); k != nil && n.Store != nil {
		n.Store.DropProcess(n.CacheKey(k, pid, leaf))
	}
}

// Renew sees to it that there is a fresh table where one pays, and in time: the last
// one is fresh for as long as the next is likely to take. It is called before a process
// of the node is read, by those for whom the tables are.
func (n *Node) Renew(pid gpid.PID) {
	t := n.table.Load()
	if t == nil || t.Left(n.Now()) > t.took {
		return
	}
	if n.latePID.Swap(int32(pid)) != int32(pid) && n.late.Add(1) > lateReads {
		n.Sweep() // if it comes too late processes are read by themselves
	}
}

// dropEnded drops what is cached of the processes of one table that a newer one has no more.
func (n *Node) dropEnded(before, after *Table) {
	if n.Store == nil || before == nil {
		return
	}
	at, follows := 0, before.session == after.session && after.Since(before.Generation())
	for i, pid := range before.PIDs() {
		for at < after.Len() && after.PID(at) < pid {
			at++
		}
		there := at < after.Len() && after.PID(at) == pid
		if there && follows && !after.Changed(at, before.Generation()) {
			continue
		}
		if id := before.ID(i); !there || after.ID(at) != id {
			n.Store.DropProcess(n.CacheKey(after.Clock, gpid.PID(pid), id))
		}
	}
}

// MapFor is what rewrites the node's files for a reader on machine h, as soon as that is
// known: a snapshot teaches it.
func (n *Node) MapFor(ctx context.Context, h Host) (*procfile.Map, error) {
	k := n.Clock()
	if k == nil {
		t, err := n.Fresh(ctx)
		if err != nil {
			return nil, err
		}
		k = t.Clock
	}
	return k.Map(h), nil
}

// LastClock is the clock of the boot that was known last, on whatever session; nil is none.
func (n *Node) LastClock() *Clock { return n.clocks.last() }

// Visibility is in which form a row of the node's tables may be given to who: full if the leaf
// is certain that the kernel gives it so, masked to other users, from whom the procfs hides
// nothing. To the process's own user of whom the leaf is not certain it is not given at all,
// since the kernel may show them more.
func (n *Node) Visibility(r Row, who vfs.Identity) Visibility {
	if n.Reads(who) {
		return Full
	}
	p := r.Table.Proc(r.I)
	switch {
	case who.UID == vfs.OverflowID || who.UID == vfs.NoID:
		return None
	case who.UID == p.UID && who.GID == p.GID && p.OwnerReads:
		return Full
	case who.UID == p.UID || HidesFrom(r.Table.Facts(), who, procfile.HideContent):
		return None
	}
	return Masked
}

// Refuses reports whether the node's kernel is certain to refuse who to open the file of that
// name, by its permissions alone: it is one that none but the owner of a process's files may open,
// and they are somebody else's. Root may open it all the same, and it is not certain where that is
// not known.
func (n *Node) Refuses(r Row, who vfs.Identity, name string) bool {
	names := n.ProcessNames()
	if who.IsRoot() || names == nil || names.Process[name] != uint32(vfs.TypeFile)|0o400 {
		return false
	}
	owner := r.Table.Proc(r.I).FileUID
	return owner != vfs.NoID && owner != who.UID
}

// Hides reports whether there may be processes in a table of the node that the
// node's own kernel does not list for who.
func (n *Node) Hides(t *Table, who vfs.Identity) bool {
	return !who.Equal(n.Reader) && !who.IsRoot() && HidesFrom(t.Facts(), who, procfile.HideProcess)
}

// lateReads is how many different processes are read at the end of a table's time
// before it is fetched anew: whoever reads on, process after process, is in the
// middle of a sweep that takes longer than the table's time.
const lateReads = 8

// CacheKey is a process as the store knows it.
func (n *Node) CacheKey(k *Clock, pid gpid.PID, leaf uint64) cachepolicy.Process {
	return cachepolicy.Process{Node: string(n.Name), Boot: k.BootID, PID: int(pid), Start: leaf}
}
