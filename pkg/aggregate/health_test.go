package aggregate

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/proctable"
	"github.com/aggrfs/aggrfs/pkg/cachepolicy"
	"github.com/aggrfs/aggrfs/pkg/vfs"
	"github.com/aggrfs/aggrfs/test/wait"
)

// patient is a node that can be made to stop answering, and to come back.
type patient struct {
	mu       sync.Mutex
	stopped  chan struct{} // closed when it goes on; nil while it answers
	conns    []*leafUpstream
	refuse   bool
	requests int   // exchanges begun
	sick     error // what every exchange ends with; nil while it is well
}

func (p *patient) stop()   { p.mu.Lock(); p.stopped = make(chan struct{}); p.mu.Unlock() }
func (p *patient) resume() { p.mu.Lock(); close(p.stopped); p.stopped = nil; p.mu.Unlock() }

// kill ends all connections, and further ones until alive is called.
func (p *patient) kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuse = true
	for _, c := range p.conns {
		close(c.done)
	}
	p.conns = nil
}

func (p *patient) alive() { p.mu.Lock(); p.refuse = false; p.mu.Unlock() }

func (p *patient) dial(ctx context.Context) (Upstream, error) {
	up, err := dialLeaf(ctx)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.refuse {
		return nil, errors.Join(syscall.ECONNREFUSED, up.Close())
	}
	leaf := up.(*leafUpstream)
	p.conns = append(p.conns, leaf)
	return &slowUpstream{leafUpstream: leaf, p: p}, nil
}

// wait is what every exchange with the node begins with.
func (p *patient) wait(ctx context.Context) error {
	p.mu.Lock()
	p.requests++
	stopped, sick := p.stopped, p.sick
	p.mu.Unlock()
	if sick != nil {
		return sick
	}
	if stopped == nil {
		return nil
	}
	select {
	case <-stopped:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

type slowUpstream struct {
	*leafUpstream
	p *patient
}

func (u *slowUpstream) Attach(ctx context.Context, who vfs.Identity, aname string) (vfs.Node, error) {
	n, err := u.leafUpstream.Attach(ctx, who, aname)
	if err != nil {
		return nil, err
	}
	return &slowDir{n.(vfs.Dir), u.p}, nil
}

type slowDir struct {
	vfs.Dir
	p *patient
}

func (d *slowDir) Attr(ctx context.Context) (vfs.Attr, error) {
	if err := d.p.wait(ctx); err != nil {
		return vfs.Attr{}, err
	}
	return d.Dir.Attr(ctx)
}

func (d *slowDir) Walk(ctx context.Context, name string) (vfs.Node, error) {
	if err := d.p.wait(ctx); err != nil {
		return nil, err
	}
	n, err := d.Dir.Walk(ctx, name)
	if err != nil {
		return nil, err
	}
	return tellRequests(n, name, func(ctx context.Context, _ []byte) error { return d.p.wait(ctx) }), nil
}

func (d *slowDir) OpenPath(ctx context.Context, names ...string) (vfs.Handle, []uint64, error) {
	if err := d.p.wait(ctx); err != nil {
		return nil, nil, err
	}
	return vfs.OpenPath(ctx, d.Dir, names...)
}

func (d *slowDir) WalkPath(ctx context.Context, names ...string) (vfs.Node, []uint64, error) {
	if err := d.p.wait(ctx); err != nil {
		return nil, nil, err
	}
	return vfs.WalkPath(ctx, d.Dir, names...)
}

// eventually waits for something that takes an unknown, short time.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	wait.Until(t, what, f)
}

func stateOf(t *testing.T, root vfs.Dir, node string) string {
	t.Helper()
	for line := range strings.Lines(read(t, root, "cluster", "nodes")) {
		if f := strings.Fields(line); f[0] == node {
			return f[2]
		}
	}
	return ""
}

// A node that stops answering costs its own rows only: nothing takes longer
// than its deadline, after the first miss nothing even waits, and the node is
// back soon after it goes on.
func TestSilentNode(t *testing.T) {
	const pid = 42
	head, n1 := newFakeLeaf(), newFakeLeaf() // which have few processes to sweep, in little time
	for _, l := range []*fakeLeaf{head, n1} {
		l.add(pid, 0, 1, pid, pid).files["environ"] = "A=1\x00"
	}
	c := fakeCluster(t, Config{
		Policy:   cachepolicy.Sweep(time.Second),
		Timeouts: Timeouts{Connect: time.Second, Read: 200 * time.Millisecond, Sweep: 100 * time.Millisecond},
	}, head, n1)
	root := rootOf(t, c, vfs.Root, "")
	theirs := strconv.Itoa(gpid.Stride + pid)
	dir := walkDir(t, root, theirs)
	if got := stateOf(t, root, "n1"); got != "up" {
		t.Fatalf("n1 is %s", got)
	}
	n1.stop()
	if _, err := vfs.ReadFile(t.Context(), dir, 1<<20, "environ"); err == nil {
		t.Error("a stopped node answered")
	}
	eventually(t, "n1 is silent", func() bool { return stateOf(t, root, "n1") == "silent" })
	n1.requests()
	for range 1000 {
		// The table is good for a second only: whether that is over makes the difference.
		if _, err := vfs.ReadFile(t.Context(), dir, 1<<20, "environ"); vfs.Errno(err) != syscall.EHOSTDOWN && vfs.Errno(err) != syscall.ESRCH {
			t.Fatalf("a request to a silent node: %v", err)
		}
	}
	if n := len(n1.requests()); n > 100 {
		t.Errorf("%d exchanges were tried with a silent node", n)
	}
	time.Sleep(1100 * time.Millisecond)                      // the table's time
	eventually(t, "the head's rows are there", func() bool { // within the sweep's deadline, on a busy machine
		all := names(t, root)
		if listed(all, theirs) {
			t.Error("the silent node's rows are there")
		}
		return listed(all, strconv.Itoa(pid))
	})
	n1.resume()
	eventually(t, "n1 is up again", func() bool { return stateOf(t, root, "n1") == "up" })
	if _, err := vfs.ReadFile(t.Context(), dir, 1<<20, "environ"); err != nil {
		t.Errorf("after it came back: %v", err)
	}
	eventually(t, "its rows are back", func() bool { return listed(names(t, root), theirs) })
}

func listed(all []string, name string) bool {
	for _, n := range all {
		if n == name {
			return true
		}
	}
	return false
}

// A node whose connection ends is reconnected; nodes of the tree survive it.
func TestDeadNode(t *testing.T) {
	p := &patient{}
	c := startCluster(t, Config{
		Head:  NodeConfig{Name: "head", Dial: dialLeaf},
		Nodes: []NodeConfig{{Name: "n1", Dial: p.dial}},
	})
	root := rootOf(t, c, vfs.Root, "")
	pid := sleeper(t, 0)
	dir := walkDir(t, root, strconv.Itoa(gpid.Stride+pid))
	native := walkDir(t, root, "nodes", "n1", "sys", "kernel")
	p.kill()
	eventually(t, "n1 is down", func() bool { return stateOf(t, root, "n1") == "down" })
	if _, err := vfs.ReadFile(t.Context(), native, 1<<20, "osrelease"); vfs.Errno(err) != syscall.EHOSTDOWN {
		t.Errorf("a file of a dead node: %v", err)
	}
	eventually(t, "cluster/nodes says why", func() bool {
		return strings.Contains(read(t, root, "cluster", "nodes"), "connection refused")
	})
	p.alive()
	eventually(t, "n1 is up again", func() bool { return stateOf(t, root, "n1") == "up" })
	if _, err := vfs.ReadFile(t.Context(), native, 1<<20, "osrelease"); err != nil {
		t.Errorf("after the reconnect: %v", err)
	}
	// The leaf is another one: it cannot vouch for a process that its
	// predecessor numbered, so the old node fails and a new walk finds it.
	if _, err := vfs.ReadFile(t.Context(), dir, 1<<20, "environ"); vfs.Errno(err) != syscall.ESRCH {
		t.Errorf("a process of the leaf before: %v", err)
	}
	eventually(t, "the process is found again", func() bool {
		_, err := vfs.ReadFile(t.Context(), root, 1<<20, strconv.Itoa(gpid.Stride+pid), "environ")
		return err == nil
	})
}

// sweep has all nodes deliver a fresh table.
func sweep(ctx context.Context, nodes []*proctable.Node) {
	proctable.Each(ctx, nodes, func(ctx context.Context, n *proctable.Node) error {
		_, err := n.Fresh(ctx)
		return err
	})
}

// Many who list at once cause one snapshot.
func TestSweepsAreJoined(t *testing.T) {
	p := &patient{}
	c := startCluster(t, Config{
		Head:  NodeConfig{Name: "head", Dial: dialLeaf},
		Nodes: []NodeConfig{{Name: "n1", Dial: p.dial}},
	})
	root := rootOf(t, c, vfs.Root, "")
	names(t, root)
	eventually(t, "the table has expired", func() bool { return c.node("n1").Table().Left(time.Now()) == 0 })
	p.stop()
	p.mu.Lock()
	before := p.requests
	p.mu.Unlock()
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() { sweep(t.Context(), c.nodes) })
	}
	time.Sleep(50 * time.Millisecond)
	p.resume()
	wg.Wait()
	p.mu.Lock()
	if n := p.requests - before; n < 1 || n > 3 {
		t.Errorf("20 sweeps made %d exchanges", n)
	}
	p.mu.Unlock()
	if got := names(t, root); len(got) == 0 {
		t.Error("nothing is listed")
	}
}

// A node that has kept one sweep waiting for all of its time keeps no other waiting until
// it answers.
func TestOverdue(t *testing.T) {
	p := &patient{}
	var skew atomic.Int64
	c := startCluster(t, Config{
		Head:     NodeConfig{Name: "head", Dial: dialLeaf},
		Nodes:    []NodeConfig{{Name: "n1", Dial: p.dial}},
		Timeouts: Timeouts{Read: time.Minute, Sweep: 20 * time.Second},
		Now:      func() time.Time { return time.Now().Add(time.Duration(skew.Load())) },
	})
	theirs := strconv.Itoa(gpid.Stride + sleeper(t, 0))
	root := rootOf(t, c, vfs.Root, "")
	if !listed(names(t, root), theirs) {
		t.Fatal("its rows are not there at first")
	}
	n := c.node("n1")
	p.stop()
	p.mu.Lock()
	before := p.requests
	p.mu.Unlock()
	skew.Add(int64(time.Hour)) // no table is good any more
	first := make(chan struct{})
	go func() {
		defer close(first)
		sweep(t.Context(), []*proctable.Node{n})
	}()
	eventually(t, "a snapshot is under way", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.requests > before
	})
	skew.Add(int64(20 * time.Second))
	if listed(names(t, root), theirs) {
		t.Error("the rows of a node that does not answer")
	}
	select {
	case <-first:
		t.Error("the second listing has waited as long as the first")
	default:
	}
	p.resume()
	<-first
	eventually(t, "its rows are back", func() bool { return listed(names(t, root), theirs) })
}

// A node that answers nothing but errors does not count as up, and is not asked
// again and again.
func TestSickNode(t *testing.T) {
	p := &patient{}
	c := startCluster(t, Config{
		Head:  NodeConfig{Name: "head", Dial: dialLeaf},
		Nodes: []NodeConfig{{Name: "n1", Dial: p.dial}},
	})
	root := rootOf(t, c, vfs.Root, "")
	if got := stateOf(t, root, "n1"); got != "up" {
		t.Fatalf("n1 is %s", got)
	}
	p.mu.Lock()
	p.sick = syscall.EIO
	p.mu.Unlock()
	c.node("n1").Probe()
	eventually(t, "n1 is down", func() bool { return stateOf(t, root, "n1") == "down" })
	p.mu.Lock()
	p.sick = nil
	p.mu.Unlock()
	eventually(t, "n1 is up again", func() bool { return stateOf(t, root, "n1") == "up" })
}

// Who lists the tree while the front end still connects to a node gets its processes; a
// node that cannot be reached takes no longer than a sweep may.
func TestFirstListingWaits(t *testing.T) {
	const pid = 42
	leaf := newFakeLeaf() // which has few processes to sweep
	leaf.add(pid, 0, 1, pid, pid)
	late := func(ctx context.Context) (Upstream, error) {
		time.Sleep(100 * time.Millisecond)
		return leaf.dial(ctx)
	}
	never := func(ctx context.Context) (Upstream, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	c := beginCluster(t, Config{
		Head:     NodeConfig{Name: "head", Dial: late},
		Nodes:    []NodeConfig{{Name: "n1", Dial: late}, {Name: "n2", Dial: never}},
		Timeouts: Timeouts{Sweep: 2 * time.Second},
	})
	all := names(t, rootOf(t, c, vfs.Root, ""))
	for _, base := range []int{0, gpid.Stride} {
		if name := strconv.Itoa(base + pid); !slices.Contains(all, name) {
			t.Errorf("%s is not among the first names", name)
		}
	}
}
