package aggregate

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/aggrfs/aggrfs/internal/access"
	"github.com/aggrfs/aggrfs/internal/userdb"
	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/upstream"
	"github.com/aggrfs/aggrfs/pkg/cachepolicy"
)

// What a node is reached by, see package upstream.
type (
	Upstream = upstream.Conn
	Dialer   = upstream.Dialer
	Timeouts = upstream.Timeouts
)

// NodeTree is the attach name, at a front end, of the tree of one of its nodes.
func NodeTree(name gpid.NodeName) string { return upstream.NodeTree(name) }

// NodeConfig is one node of a cluster.
type NodeConfig struct {
	Name    gpid.NodeName
	Address string // for people, in /cluster/nodes
	Dial    Dialer
	Tree    string // what to attach to; "" for a leaf, NodeTree behind another cluster
}

// Config is what a cluster is made of.
type Config struct {
	// Head is the head node, index 0: the machine of the reader. Required.
	Head NodeConfig
	// Nodes are the others.
	Nodes []NodeConfig
	// GPIDs has an index for each of Nodes; nil is that there are none. It is the
	// cluster's from New on, which closes it.
	GPIDs *gpid.Numbering
	// Policy says what is cached and for how long. Required.
	Policy *cachepolicy.Policy
	// Timeouts bound each exchange.
	Timeouts Timeouts
	// MaxProcs is how many processes a node may have; one that tells of more, or of more
	// than its own pid_max, is left out. Default DefaultMaxProcs.
	MaxProcs int
	// CgroupNode puts the paths of <pid>/cgroup of all nodes but the head below
	// <node>.slice.
	CgroupNode bool
	// Proc is the head's native procfs as this process sees it (default /proc).
	Proc string
	// Native is the path of the reader's native procfs as the reader sees it,
	// the target of self and of the names that are not merged (default /proc).
	Native string
	// Names resolves users and groups; nil is the machine's user database.
	Names access.Names
	// Access decides who sees what; nil is that root sees all and nobody else
	// anything.
	Access *access.Authority
	// Version is shown as that of the tree.
	Version string
	Log     *slog.Logger
	// Now is the clock; default time.Now.
	Now func() time.Time
}

// DefaultMaxProcs is Config.MaxProcs where that is not said: twice the pid_max of 32768
// that machines of up to 32 processors are booted with (kernel/pid.c), threads included.
// What a node may claim everybody who lists processes must read.
const DefaultMaxProcs = 65536

func (c *Config) check() error {
	if c.Policy == nil || c.Head.Dial == nil {
		return errors.New("aggregate: Config needs a Policy and a Head with a Dial")
	}
	seen := map[gpid.NodeName]bool{c.Head.Name: true}
	for _, n := range c.Nodes {
		if seen[n.Name] {
			return fmt.Errorf("node %q is named twice", n.Name)
		}
		seen[n.Name] = true
		if n.Dial == nil {
			return fmt.Errorf("node %q cannot be dialled", n.Name)
		}
	}
	c.Timeouts = c.Timeouts.WithDefaults()
	if c.MaxProcs <= 0 {
		c.MaxProcs = DefaultMaxProcs
	}
	if c.Proc == "" {
		c.Proc = "/proc"
	}
	if c.GPIDs == nil {
		c.GPIDs = new(gpid.Numbering)
	}
	if c.Native == "" {
		c.Native = "/proc"
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Names == nil {
		c.Names = userdb.New(userdb.Config{Now: c.Now})
	}
	if c.Access == nil {
		c.Access = access.New(access.Rules{}, c.Names, c.Now)
	}
	return nil
}
