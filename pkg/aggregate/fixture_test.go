package aggregate

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/proctable"
	"github.com/aggrfs/aggrfs/pkg/cachepolicy"
	"github.com/aggrfs/aggrfs/pkg/procfs9p"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// leafUpstream is a leaf in this process as an upstream that can be made to
// fail.
type leafUpstream struct {
	*procfs9p.Leaf
	done chan struct{}
}

func (u *leafUpstream) Done() <-chan struct{} { return u.done }
func (u *leafUpstream) Err() error            { return nil }

// patience is how long exchanges may take where a test says nothing of it: this machine may be
// busy, and have thousands of processes.
const patience = 50 * time.Second

// dialLeaf dials a leaf on this machine's own /proc.
func dialLeaf(context.Context) (Upstream, error) {
	leaf, err := procfs9p.New(procfs9p.Config{Version: "test", ReadTimeout: patience, SweepTimeout: patience})
	if err != nil {
		return nil, err
	}
	return &leafUpstream{Leaf: leaf, done: make(chan struct{})}, nil
}

// newTestCluster is this machine as the head node and again as each of names.
func newTestCluster(t testing.TB, cfg Config, names ...gpid.NodeName) *Cluster {
	t.Helper()
	cfg.Head = NodeConfig{Name: "head", Address: "here", Dial: dialLeaf}
	for _, name := range names {
		cfg.Nodes = append(cfg.Nodes, NodeConfig{Name: name, Dial: dialLeaf})
	}
	return startCluster(t, cfg)
}

// startCluster is the cluster when all its nodes have been reached or have failed.
func startCluster(t testing.TB, cfg Config) *Cluster {
	t.Helper()
	c := beginCluster(t, cfg)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c.Ready(ctx)
	return c
}

// beginCluster is the cluster that has just begun to connect.
func beginCluster(t testing.TB, cfg Config) *Cluster {
	t.Helper()
	if cfg.Policy == nil {
		cfg.Policy = cachepolicy.Sweep(time.Second)
	}
	if cfg.Timeouts == (Timeouts{}) { // no node is late
		cfg.Timeouts = Timeouts{Connect: patience, Read: patience, Sweep: patience}
	}
	var names []gpid.NodeName
	for _, n := range cfg.Nodes {
		names = append(names, n.Name)
	}
	var err error
	if cfg.GPIDs, err = gpid.Open(filepath.Join(t.TempDir(), "gpids.json"), gpid.Fixed, names); err != nil {
		t.Fatal(err)
	}
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func rootOf(t testing.TB, tree vfs.Tree, who vfs.Identity, aname string) vfs.Dir {
	t.Helper()
	n, err := tree.Attach(t.Context(), who, aname)
	if err != nil {
		t.Fatalf("attach %q: %v", aname, err)
	}
	return n.(vfs.Dir)
}

func names(t testing.TB, dir vfs.Dir) []string {
	t.Helper()
	h, err := dir.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	var all []string
	for off := uint64(0); ; {
		got, err := h.ReadDir(t.Context(), off, nil, 100)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) == 0 {
			return all
		}
		for _, e := range got {
			all = append(all, e.Name)
			off = e.Next
		}
	}
}

// node is the node of that name.
func (c *Cluster) node(name gpid.NodeName) *proctable.Node {
	for _, n := range c.nodes {
		if n.Name == name {
			return n
		}
	}
	return nil
}

func read(t testing.TB, dir vfs.Dir, path ...string) string {
	t.Helper()
	b, err := vfs.ReadFile(t.Context(), dir, 1<<24, path...)
	if err != nil {
		t.Fatalf("%v: %v", path, err)
	}
	return string(b)
}

// missed is how many answers had to do without a node, or with old values of it, since the
// cluster began: listings without its rows or with old ones, sums without it or with old
// values, and files of its processes that could not be had. Nodes that no answer lacked are
// left out.
func (c *Cluster) missed() map[gpid.NodeName]uint64 {
	all := make(map[gpid.NodeName]uint64)
	for _, n := range c.nodes {
		if count := n.Missed(); count > 0 {
			all[n.Name] = count
		}
	}
	return all
}
