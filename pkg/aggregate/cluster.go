package aggregate

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aggrfs/aggrfs/internal/access"
	"github.com/aggrfs/aggrfs/internal/lograte"
	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/sums"
	"github.com/aggrfs/aggrfs/pkg/cachepolicy"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// A Cluster is the merged tree of a set of nodes.
type Cluster struct {
	cfg        Config
	nodes      []*node // by index; the head node first
	byName     map[gpid.NodeName]*node
	byIndex    map[int]*node
	host       host
	made       made
	native     *native
	users      access.Names
	access     *access.Authority
	numbers    *gpid.Numbering
	store      *cachepolicy.Store
	streaks    *streaks
	nameTables *nameTables
	views      sharedViews
	room       *room
	layouts    sums.Layouts
	sumReaders sumReaders
	notes      notes
	stop       context.CancelFunc
	work       sync.WaitGroup
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
	ctx, stop := context.WithCancel(context.Background())
	c := &Cluster{
		cfg: cfg, host: host, streaks: newStreaks(), nameTables: newNameTables(), room: newRoom(), users: cfg.Names, access: cfg.Access, numbers: cfg.GPIDs, stop: stop,
		store:  cachepolicy.NewStore(cachepolicy.StoreConfig{Policy: cfg.Policy, Timeout: cfg.Timeouts.Read}),
		made:   made{since: cfg.Now(), keep: cfg.Policy.Table()},
		byName: map[gpid.NodeName]*node{}, byIndex: map[int]*node{},
	}
	c.native = newNative(c.made, &cfg)
	c.addNode(newNode(ctx, &cfg, cfg.Head, 0))
	for _, nc := range cfg.Nodes {
		index, ok := cfg.GPIDs.Index(nc.Name)
		if !ok {
			stop()
			c.store.Close()
			return nil, fmt.Errorf("node %q has no index", nc.Name)
		}
		c.addNode(newNode(ctx, &cfg, nc, index))
	}
	sortByIndex(c.nodes)
	for _, n := range c.nodes {
		delay := spread(len(c.nodes))
		if n.index == 0 {
			delay = 0
		}
		n.wg.Go(func() {
			if sleep(ctx, delay) {
				n.run()
			}
		})
	}
	c.work.Go(func() { c.tidy(ctx) })
	return c, nil
}

// tidyInterval is how often what is held and can be shown to nobody any more is let
// go, and how soon it is told that there are no gpids left.
const tidyInterval = 10 * time.Second

// tidy does that until ctx ends.
func (c *Cluster) tidy(ctx context.Context) {
	told, log := false, lograte.ByMessage(c.cfg.Log)
	for sleep(ctx, tidyInterval) {
		c.store.Expire()
		c.sumReaders.tidy(c.cfg.Now())
		for _, n := range c.nodes {
			n.dropLines()
			n.cgroups.tidy(n.now())
		}
		_, err := c.numbers.Err()
		if err != nil && !told {
			log.Error("processes are not shown for want of a global pid", "err", err)
		}
		told = err != nil
	}
}

func (c *Cluster) addNode(n *node) {
	n.store, n.policy, n.streaks, n.nameTables, n.room = c.store, c.store.Policy, c.streaks, c.nameTables, c.room
	n.countersIn(&c.layouts)
	c.nodes = append(c.nodes, n)
	c.byName[n.name], c.byIndex[n.index] = n, n
}

// Close drops all connections and waits for everything that the cluster
// started. Nodes of the tree fail with EHOSTDOWN afterwards.
func (c *Cluster) Close() error {
	c.stop()
	for _, n := range c.nodes {
		n.wait()
	}
	c.work.Wait()
	c.store.Close()
	return c.numbers.Close()
}

// Ready waits until every node has been reached or has failed once, or ctx
// ends.
func (c *Cluster) Ready(ctx context.Context) {
	for _, n := range c.nodes {
		if n.awaitTried(ctx) != nil {
			return
		}
	}
}

// thisHost is the machine that the merged tree's readers are on.
func thisHost(proc string) (host, error) {
	boot, err := bootTime()
	id, _ := os.ReadFile(proc + "/sys/kernel/random/boot_id") // names the boot for those who mirror the tree; without it they take each connection for one
	return host{bootID: strings.TrimSpace(string(id)), boot: boot, hz: userHz, pageSize: int64(os.Getpagesize())}, err
}

// userHz is the USER_HZ of every architecture that Go runs on: Linux fixes it
// at 100 for all but alpha and ia64 (include/asm-generic/param.h).
const userHz = 100

// bootTime is when this machine booted, by its own clocks.
func bootTime() (time.Time, error) {
	var up unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &up); err != nil {
		return time.Time{}, fmt.Errorf("CLOCK_BOOTTIME: %w", err)
	}
	return time.Now().Add(-time.Duration(up.Nano())), nil
}

// Attach implements vfs.Tree. aname is "" for the main tree or the path of a
// root inside it ("/sets/n[1-3]", "/users/ann"), which "/timens/SECONDS" may
// precede, see timensName; with "snapshot" before all that, the snapshots of
// that root. NodeTree is the tree of one node, for a front end above.
func (c *Cluster) Attach(ctx context.Context, who vfs.Identity, aname string) (vfs.Node, error) {
	return c.attach(ctx, who, aname)
}
