package aggregate

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/ninep"
	"github.com/aggrfs/aggrfs/pkg/vfs"
	"github.com/aggrfs/aggrfs/test/procsim"
)

// dialSocket opens a 9P connection to a unix socket.
func dialSocket(address string) Dialer {
	return func(ctx context.Context) (Upstream, error) {
		var d net.Dialer
		conn, err := d.DialContext(ctx, "unix", strings.TrimPrefix(address, "unix:"))
		if err != nil {
			return nil, err
		}
		client, err := ninep.NewClient(ctx, conn, ninep.ClientConfig{})
		if err != nil {
			return nil, err
		}
		return client, nil
	}
}

// serveCluster serves a cluster on a unix socket until the test ends.
func serveCluster(t *testing.T, c *Cluster) (address string) {
	t.Helper()
	path := t.TempDir() + "/s"
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = ninep.NewServer(ninep.ServerConfig{Tree: c, Identify: ninep.ByCredentials, Log: slog.New(slog.DiscardHandler)}).Serve(ctx, l)
	}()
	t.Cleanup(func() { stop(); <-done })
	return "unix:" + path
}

// TestTwoLevels has three times twenty nodes behind three front ends below one.
func TestTwoLevels(t *testing.T) {
	const groups, each, procs = 3, 20, 30
	cfg := Config{Head: NodeConfig{Name: "head", Dial: dialLeaf}, Access: authority(everybodyEverywhere)}
	var sims []*procsim.Cluster
	var middles []*Cluster
	for g := range groups {
		var names []string
		for i := range each {
			names = append(names, fmt.Sprintf("g%dn%02d", g, i))
		}
		sim, err := procsim.Serve(t.TempDir(), names, 1, procs, 1)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { sim.Close() })
		sims = append(sims, sim)
		middle := Config{Head: NodeConfig{Name: gpid.NodeName(fmt.Sprintf("head%d", g)), Dial: dialLeaf}, Access: authority(everybodyEverywhere)}
		for _, name := range names {
			middle.Nodes = append(middle.Nodes, NodeConfig{Name: gpid.NodeName(name), Dial: dialSocket(sim.Address(name))})
		}
		middles = append(middles, startCluster(t, middle))
		address := serveCluster(t, middles[g])
		for _, name := range names {
			cfg.Nodes = append(cfg.Nodes, NodeConfig{Name: gpid.NodeName(name), Dial: dialSocket(address), Tree: NodeTree(gpid.NodeName(name))})
		}
	}
	c := startCluster(t, cfg)
	root := rootOf(t, c, vfs.Root, "")
	rows := func() (n int) {
		for line := range strings.Lines(read(t, root, "cluster", "ps")) {
			if strings.HasPrefix(line, "g") {
				n++
			}
		}
		return n
	}
	eventually(t, "the processes of all nodes", func() bool { return rows() == groups*each*procs })
	n := c.node("g1n07")
	below := middles[1].node("g1n07")

	// What comes is what the node says: its generations, its numbers, its times.
	for range 3 {
		before := n.Table().Generation()
		sims[1].Churn(0.2)
		tab, err := n.Newer(t.Context(), time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if tab.Generation() <= before || tab.Generation() != below.Table().Generation() || !tab.Since(before) {
			t.Errorf("generation %d after %d; the node below has %d", tab.Generation(), before, below.Table().Generation())
		}
		if tab.Facts().Hostname != "g1n07" || tab.Facts().BootID != below.Table().Facts().BootID {
			t.Errorf("%+v", tab.Facts())
		}
	}
	// By the cgroups, most processes are in jobs.
	if jobs := strings.Count(read(t, root, "cluster", "cgroups"), "\n"); jobs < groups*each*procs/2 {
		t.Errorf("%d processes are in jobs", jobs)
	}
	// Files that no sweep brings are read at the node, as the requester.
	tab := n.Table()
	p := tab.Proc(tab.Len() - 1)
	dir := walkDir(t, root, n.GPID(gpid.PID(p.PID)).String())
	if got := read(t, dir, "environ"); !strings.Contains(got, "PATH=") {
		t.Errorf("environ is %q", got)
	}
	other := walkDir(t, rootOf(t, c, vfs.Identity{UID: 4000, GID: 4000}, ""), n.GPID(gpid.PID(p.PID)).String())
	if _, err := vfs.ReadFile(t.Context(), other, 1<<20, "environ"); vfs.Errno(err) != syscall.EACCES {
		t.Errorf("another user's environ: %v", err)
	}
	if got := read(t, root, "nodes", "g1n07", "sys", "kernel", "hostname"); got != "g1n07\n" {
		t.Errorf("hostname is %q", got)
	}
	// One that fails at the bottom fails at the top, and no other does.
	sims[2].Fail(1, 0, 0)
	last := c.node("g2n19")
	eventually(t, "the rows without those of a dead node", func() bool { return rows() == (groups*each-1)*procs })
	eventually(t, "the node is seen to be ill", func() bool { return last.Problem() != nil })
	sims[2].Fail(0, 0, 0)
	eventually(t, "all rows again", func() bool { return rows() == groups*each*procs })

	for _, bad := range []string{"/nodes/", "/nodes/nobody", "snapshot/nodes/nobody", "/nodes/g1n07/1"} {
		if _, err := middles[1].Attach(t.Context(), vfs.Root, bad); vfs.Errno(err) != syscall.ENOENT {
			t.Errorf("attach %s: %v", bad, err)
		}
	}
	if _, err := middles[1].Attach(t.Context(), vfs.Identity{UID: 1, GID: 1}, "snapshot/nodes/g1n07"); vfs.Errno(err) != syscall.EACCES {
		t.Errorf("a user's attach to snapshots: %v", err)
	}
}
