package aggregate

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/aggrfs/aggrfs/internal/lograte"
	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/sums"
	"github.com/aggrfs/aggrfs/pkg/cachepolicy"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// A node is one machine of the cluster: the connection to it, its health, and
// the table of its processes.
//
// run owns the connection and is the only one that opens or drops it; others
// report what they saw (answered, missed) and find the connection under mu.
type node struct {
	name    gpid.NodeName
	index   int
	address string
	numbers *gpid.Numbering
	aname   string       // the tree to attach to: NodeConfig.Tree, or a mirror's subtree
	reader  vfs.Identity // whom the tables are for: root, but for a mirror
	dial    Dialer
	policy  func() *cachepolicy.Policy // in force now
	store   *cachepolicy.Store         // what is held of it besides the table; nil is nothing
	streaks *streaks                   // who reads what process after process, of all nodes of the cluster
	limits  atomic.Pointer[Timeouts]
	log     *slog.Logger // bounded by time, as a node may cause any line at will
	states  *slog.Logger // the same, for changes of its state
	now     func() time.Time

	table  atomic.Pointer[table]     // what the last sweep brought, perhaps out of date; nil is nothing
	swaps  atomic.Uint64             // how often table was replaced
	clock  atomic.Pointer[clock]     // how its files are rewritten; nil is not known yet, on this connection
	clocks clocks                    // of the boots that it had
	names  atomic.Pointer[nameTable] // which names a process directory of this node has; nil is not known yet

	// cluster: the node is a whole cluster, which a mirror shows.
	cluster bool
	// nameTables and room are shared with the other nodes of the cluster.
	nameTables *nameTables
	room       *room
	maxProcs   int // how many processes the node may have, if it is not a cluster

	counters map[string]*sums.Counters // of the root files that have them, by name; never changed

	lines atomic.Pointer[nodeLines] // of cluster/ps, as they were read last

	aheads  aheads // what is brought ahead of who reads process after process
	cgroups *cgroups

	stale     atomic.Int64  // when an old value was shown last, since the node did not answer, ns since 1970
	missed    atomic.Uint64 // how many answers had to do without it, see Cluster.Missed
	withdrawn atomic.Bool   // the last listing lacked its rows
	lagging   atomic.Bool   // its last snapshot did not come in time, see listWait
	late      atomic.Int32  // processes read one by one since the table expired, see renew
	latePID   atomic.Int32  // the last of them

	tried     chan struct{} // closed when the node has been reached, or has failed, once
	first     chan struct{} // closed when a snapshot has come, or has failed, once
	firstOnce sync.Once
	suspect   chan struct{} // holds a token when somebody wants the node probed
	ctx       context.Context
	wg        sync.WaitGroup // run, the sweep under way, and what is brought ahead

	mu     sync.Mutex
	health health              // guarded by mu
	up     Upstream            // guarded by mu; nil while there is no connection
	roots  map[string]vfs.Node // guarded by mu; what up gave to each attach, by attach name and identity
	fetch  *fetch              // guarded by mu; the sweep under way, if any
	rpc    *openRPC            // guarded by mu; for the next; nil is none
	failed time.Time           // guarded by mu; when a snapshot was last too much, see giant
	over   bool                // guarded by mu; nothing is started any more
}

// maxRoots bounds the attaches kept on one connection. Past it the connection's
// attaches are made anew.
const maxRoots = 4096

func newNode(ctx context.Context, cfg *Config, nc NodeConfig, index int) *node {
	n := &node{
		name: nc.Name, index: index, address: nc.Address, dial: nc.Dial, aname: nc.Tree,
		policy: func() *cachepolicy.Policy { return cfg.Policy }, now: cfg.Now, streaks: newStreaks(), nameTables: newNameTables(), room: newRoom(),
		log:     lograte.ByMessage(cfg.Log).With("node", string(nc.Name)),
		states:  lograte.Together(cfg.Log).With("node", string(nc.Name)),
		numbers: cfg.GPIDs,
		cgroups: newCgroups(), maxProcs: cfg.MaxProcs,
		tried:   make(chan struct{}),
		first:   make(chan struct{}),
		suspect: make(chan struct{}, 1),
		ctx:     ctx,
		health:  health{state: stateConnecting, since: cfg.Now()},
	}
	n.limits.Store(&cfg.Timeouts)
	n.countersIn(new(sums.Layouts))
	return n
}

// countersIn gives the node counters, of those layouts.
func (n *node) countersIn(layouts *sums.Layouts) {
	n.counters = map[string]*sums.Counters{}
	for _, name := range sums.Names() {
		if c := sums.NewCounters(name, layouts); c != nil {
			n.counters[name] = c
		}
	}
}

// wait waits for everything that the node started, once its context has ended.
func (n *node) wait() {
	n.mu.Lock()
	n.over = true
	n.mu.Unlock()
	n.wg.Wait()
}

// awaitTried waits until the node has been reached, or has failed, once: who asks in
// the moment that the front end has started finds it as it is. It says why not.
func (n *node) awaitTried(ctx context.Context) error {
	select {
	case <-n.tried:
		return nil
	default:
	}
	select {
	case <-n.tried:
		return nil
	case <-n.ctx.Done():
	case <-ctx.Done():
	}
	return n.unwell(health{state: stateConnecting})
}

// upstream is the connection to the node; nil while there is none.
func (n *node) upstream() Upstream {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.up
}

// root returns the root of the node's tree for an identity, attaching if need
// be.
func (n *node) root(ctx context.Context, who vfs.Identity, aname string) (vfs.Dir, error) {
	if err := n.awaitTried(ctx); err != nil {
		return nil, err
	}
	key := aname + "\x00" + who.Key()
	n.mu.Lock()
	up, root, health := n.up, n.roots[key], n.health
	n.mu.Unlock()
	if up == nil || health.state == stateSilent {
		return nil, n.unwell(health)
	}
	if root == nil {
		var err error
		if root, err = up.Attach(ctx, who, aname); err != nil {
			return nil, err
		}
		n.mu.Lock()
		if n.up == up {
			if len(n.roots) >= maxRoots {
				clear(n.roots)
			}
			n.roots[key] = root
		}
		n.mu.Unlock()
	}
	dir, ok := root.(vfs.Dir)
	if !ok {
		return nil, fmt.Errorf("node %s: its root is no directory: %w", n.name, syscall.EIO)
	}
	return dir, nil
}

// unwell is the error of a request that is not even tried.
func (n *node) unwell(h health) error {
	if h.err != nil {
		return fmt.Errorf("node %s is %s (%v): %w", n.name, h.state, h.err, syscall.EHOSTDOWN)
	}
	return fmt.Errorf("node %s is %s: %w", n.name, h.state, syscall.EHOSTDOWN)
}

// call makes one exchange with the node as who: f gets the root of the node's
// tree and a context that ends with the read deadline. What it takes, and
// whether it missed the deadline, is noted for the node's health.
func (n *node) call(ctx context.Context, who vfs.Identity, f func(context.Context, vfs.Dir) error) error {
	return n.callAt(ctx, who, n.aname, f)
}

func (n *node) callAt(ctx context.Context, who vfs.Identity, aname string, f func(context.Context, vfs.Dir) error) error {
	ctx, cancel := context.WithTimeout(ctx, n.timeouts().Read)
	defer cancel()
	start, up := n.now(), n.upstream()
	root, err := n.root(ctx, who, aname)
	if err == nil {
		err = f(ctx, root)
	}
	// A daemon says so of a node of its own; a connection never does.
	ofItsNode := n.cluster && root != nil && vfs.Errno(err) == syscall.EHOSTDOWN
	switch {
	case err == nil:
		n.answered(n.now().Sub(start))
	case ctx.Err() == context.DeadlineExceeded:
		n.probe()
	}
	if err = n.unanswered(ctx, up, err); n.cluster && !ofItsNode && cachepolicy.Unanswered(err) {
		n.missed.Add(1) // the daemon of a mirror, whose every answer is part of the tree
	}
	return err
}
