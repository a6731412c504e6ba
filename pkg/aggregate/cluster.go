package aggregate

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/aggrfs/aggrfs/internal/hostclock"
	"github.com/aggrfs/aggrfs/internal/lograte"
	"github.com/aggrfs/aggrfs/pkg/aggregate/actions"
	"github.com/aggrfs/aggrfs/pkg/aggregate/clusterdir"
	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/monitor"
	"github.com/aggrfs/aggrfs/pkg/aggregate/proctable"
	"github.com/aggrfs/aggrfs/pkg/aggregate/report"
	"github.com/aggrfs/aggrfs/pkg/aggregate/tree"
	"github.com/aggrfs/aggrfs/pkg/aggregate/upstream"
	"github.com/aggrfs/aggrfs/pkg/aggregate/view"
	"github.com/aggrfs/aggrfs/pkg/cachepolicy"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// A Cluster is the merged tree of a set of nodes.
type Cluster struct {
	tree    *tree.Tree
	nodes   []*proctable.Node // by index; the head node first
	store   *cachepolicy.Store
	gpids   *gpid.Numbering
	actions *actions.Controller
	stop    context.CancelFunc
	work    sync.WaitGroup
}

// New starts to connect to all nodes and returns at once. Close ends it.
func New(cfg Config) (*Cluster, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	host, err := thisHost(cfg.Proc)
	if err != nil {
		return nil, err
	}
	indexes := []int{0} // of the head, and of cfg.Nodes
	for _, n := range cfg.Nodes {
		index, ok := cfg.GPIDs.Index(n.Name)
		if !ok {
			return nil, fmt.Errorf("node %q has no index", n.Name)
		}
		indexes = append(indexes, index)
	}
	ctx, stop := context.WithCancel(context.Background())
	c := &Cluster{
		store: cachepolicy.NewStore(cachepolicy.StoreConfig{Policy: cfg.Policy, Timeout: cfg.Timeouts.Read}),
		gpids: cfg.GPIDs, stop: stop, actions: actions.New(cfg.Log),
	}
	shared := proctable.NewShared(proctable.Config{
		Policy: c.store.Policy, Store: c.store, Numbers: cfg.GPIDs, Host: host, CgroupNode: cfg.CgroupNode,
	})
	for i, n := range append([]NodeConfig{cfg.Head}, cfg.Nodes...) {
		var made *proctable.Node
		made = proctable.New(ctx, shared, cfg.upstream(n, indexes[i], vfs.Root), proctable.Traits{
			MaxProcs: cfg.MaxProcs, Swept: func() { c.tree.Swept(made) },
		})
		c.nodes = append(c.nodes, made)
	}
	views := view.New(view.Config{Nodes: c.nodes, Numbers: cfg.GPIDs, Access: cfg.Access, Users: cfg.Names})
	treeConfig := cfg.tree(host)
	treeConfig.Views, treeConfig.Store, treeConfig.Actions = views, c.store, c.actions
	c.tree = tree.New(treeConfig)
	for _, n := range c.nodes {
		delay := upstream.Spread(len(c.nodes))
		if n.Index == 0 {
			delay = 0
		}
		n.Go(func() { n.Run(delay) })
	}
	c.work.Go(func() { c.tidy(ctx, lograte.ByMessage(cfg.Log).Error) })
	return c, nil
}

// upstream is what one node is made of.
func (cfg *Config) upstream(n NodeConfig, index int, reader vfs.Identity) upstream.Config {
	return upstream.Config{
		Name: n.Name, Index: index, Address: n.Address, Dial: n.Dial, Tree: n.Tree, Reader: reader,
		Timeouts: cfg.Timeouts, Log: cfg.Log, Now: cfg.Now,
	}
}

// tree is what a tree is made of, but for its views and store.
func (cfg *Config) tree(h proctable.Host) tree.Config {
	return tree.Config{
		Numbers: cfg.GPIDs, Users: cfg.Names, Access: cfg.Access, Timeouts: cfg.Timeouts, Host: h,
		Proc: cfg.Proc, Native: cfg.Native, Version: cfg.Version, Log: cfg.Log, Now: cfg.Now,
	}
}

// tidyInterval is how often what is cached and can be shown to nobody any more is dropped,
// and how soon the log says that there are no gpids left.
const tidyInterval = 10 * time.Second

// tidy does that until ctx ends.
func (c *Cluster) tidy(ctx context.Context, logError func(string, ...any)) {
	told := false
	for upstream.Sleep(ctx, tidyInterval) {
		c.store.Expire()
		c.tree.Tidy()
		for _, n := range c.nodes {
			n.Tidy()
		}
		_, err := c.gpids.Err()
		if err != nil && !told {
			logError("processes are not shown for want of a global pid", "err", err)
		}
		told = err != nil
	}
}

// Attach implements vfs.Tree, see tree.Tree.Attach.
func (c *Cluster) Attach(ctx context.Context, who vfs.Identity, aname string) (vfs.Node, error) {
	return c.tree.Attach(ctx, who, aname)
}

// A Mount is a cluster's tree for one mount on this machine.
type Mount = tree.Mount

// Native says where the readers of a mount have their native procfs, see tree.Native.
type Native = tree.Native

// NewMount is the tree for a mount on this machine, see tree.Tree.NewMount.
func (c *Cluster) NewMount(native Native) *Mount { return c.tree.NewMount(native) }

// A Mirror is the tree of a cluster that a server on another machine has, for readers of this one.
type Mirror = tree.Mirror

// MirrorConfig is what a mirror is made of. Those fields of tree.MirrorConfig that are not here are of this machine.
type MirrorConfig struct {
	Dial     Dialer // see tree.MirrorConfig, as are the next six
	Address  string
	Who      vfs.Identity
	Path     string
	Nodes    []string
	Policy   *cachepolicy.Policy
	Timeouts Timeouts
	// Proc and Native are as in Config.
	Proc, Native string
	Log          *slog.Logger
}

// ReaderRoot is what comes before the path of a root, as the attach name of the same for readers on this
// machine at a front end on another.
func ReaderRoot() (string, error) {
	host, err := thisHost("/proc")
	return tree.ReaderRoot(host), err
}

// NewMirror makes a mirror, which connects when it is attached to. Close ends it.
func NewMirror(cfg MirrorConfig) (*Mirror, error) {
	host, err := thisHost(cfg.Proc)
	if err != nil {
		return nil, err
	}
	host.Boot = host.Boot.Round(0) // by the wall clock: the server is told it
	return tree.NewMirror(tree.MirrorConfig{
		Dial: cfg.Dial, Address: cfg.Address, Who: cfg.Who, Path: cfg.Path, Nodes: cfg.Nodes, Policy: cfg.Policy,
		Timeouts: cfg.Timeouts, Host: host, Proc: cfg.Proc, Native: cfg.Native, Log: cfg.Log, Now: time.Now,
	}), nil
}

// Generation changes whenever a sweep has brought something.
func (c *Cluster) Generation() uint64 { return c.tree.Generation() }

// Note notes what is wrong with a part of the front end, for cluster/status; nil is
// that nothing is.
func (c *Cluster) Note(what string, err error) { c.tree.Tables().Note(what, err) }

// Warn notes what deserves a look in a part that is in force; nothing is that nothing
// does.
func (c *Cluster) Warn(what string, warnings []string) { c.tree.Tables().Warn(what, warnings) }

// InForce notes which configuration is in force from now on, for cluster/status.
func (c *Cluster) InForce(path string) { c.tree.Tables().InForce(path) }

// Tell has cluster/status tell what the program knows of itself, see clusterdir.Others.
func (c *Cluster) Tell(of func(who vfs.Identity, everything bool) []report.Part) {
	c.tree.Tables().Tell(of)
}

// NodesPart is how many nodes are in which state, as cluster/status has it.
func (c *Cluster) NodesPart() report.Part { return c.tree.Tables().NodesPart() }

// A Meter adds up what it sees of the nodes, from look to look; Measures are what it has seen.
type (
	Meter        = monitor.Meter
	Measures     = monitor.Measures
	NodeMeasures = monitor.NodeMeasures
	NameMeasures = monitor.NameMeasures
)

// The kinds of processor time and of stalls in NodeMeasures.
var (
	CPUKinds = monitor.CPUKinds
	Stalls   = monitor.Stalls
)

// NewMeter is a meter of all nodes, as root sees them, and with names of users, jobs and commands.
func (c *Cluster) NewMeter(names bool) *Meter { return c.tree.Tables().NewMeter(names) }

// CacheFigures are those of each rule of the cache policy.
func (c *Cluster) CacheFigures() []cachepolicy.Figures { return c.store.Figures() }

// SetPolicy puts another cache policy in force, for what is cached already, too.
func (c *Cluster) SetPolicy(p *cachepolicy.Policy) {
	c.store.SetPolicy(p)
	c.tree.EndListings()
	for _, n := range c.nodes {
		n.PolicyChanged()
	}
}

// Close drops all connections and waits for everything that the cluster
// started. Nodes of the tree fail with EHOSTDOWN afterwards.
func (c *Cluster) Close() error {
	c.stop()
	for _, n := range c.nodes {
		n.Wait()
	}
	c.work.Wait()
	c.tree.EndListings()
	c.actions.Flush()
	c.store.Close()
	return c.gpids.Close()
}

// Ready waits until every node has been reached or has failed once, or ctx
// ends.
func (c *Cluster) Ready(ctx context.Context) {
	for _, n := range c.nodes {
		if n.AwaitTried(ctx) != nil {
			return
		}
	}
}

// Prefetched is a root of a cluster that has nothing but what a sweep
// brings: of each process the files that are named.
func Prefetched(root vfs.Dir, files []string) vfs.Dir { return tree.Prefetched(root, files) }

// Patience is how long a request of a cluster's tree may take, see tree.Patience.
func Patience(ctx context.Context, root vfs.Dir) (patience time.Duration, remarks bool, err error) {
	return tree.Patience(ctx, root)
}

// ExplainName is the name in cluster/explain of a file of a node, see clusterdir.ExplainName.
func ExplainName(node, path string) string { return clusterdir.ExplainName(node, path) }

// CPUs is the path of the directory in which a program counts CPUs, see tree.CPUs.
const CPUs = tree.CPUs

// What Note may be about.
const (
	NoteConfiguration = clusterdir.NoteConfiguration
	NotePolicy        = clusterdir.NotePolicy
)

// thisHost is the machine that the merged tree's readers are on.
func thisHost(proc string) (proctable.Host, error) {
	boot, err := hostclock.BootTime()
	id, _ := os.ReadFile(proc + "/sys/kernel/random/boot_id")
	return proctable.Host{BootID: strings.TrimSpace(string(id)), Boot: boot, Hz: userHz, PageSize: int64(os.Getpagesize())}, err
}

// userHz is the USER_HZ of every architecture that Go runs on: Linux fixes it
// at 100 for all but alpha and ia64 (include/asm-generic/param.h).
const userHz = 100
