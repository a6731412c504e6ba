package tree

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/listing"
	"github.com/aggrfs/aggrfs/pkg/aggregate/proctable"
	"github.com/aggrfs/aggrfs/pkg/aggregate/report"
	"github.com/aggrfs/aggrfs/pkg/aggregate/synthetic"
	"github.com/aggrfs/aggrfs/pkg/aggregate/upstream"
	"github.com/aggrfs/aggrfs/pkg/cachepolicy"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// MirrorConfig is what a mirror is made of. All fields but Path, Nodes and Address are required.
type MirrorConfig struct {
	// Dial opens a connection to the server, by which it knows for whom the tree is. All nodes
	// share one connection: it may be the same for all that have it open.
	Dial     upstream.Dialer
	Address  string       // of the server, for people
	Who      vfs.Identity // as whom Dial's connection is attached to
	Path     string       // of the root within the server's tree, "" or "/sets/n[1-3]"
	Nodes    []string     // the nodes of Path, where that is not ""
	Policy   *cachepolicy.Policy
	Timeouts upstream.Timeouts // as long as the server may take for one request
	Host     proctable.Host    // the reader's machine
	Proc     string            // its native procfs as this process sees it
	Native   string            // and as the reader sees it
	Log      *slog.Logger
	Now      func() time.Time
}

// A Mirror is the tree of a cluster that a server on another machine has, as it shows it to one
// identity: a vfs.Tree for readers of this machine.
//
// Of each node it asks the server for the snapshots of that identity's view (see seen), by
// differences and only when somebody lists processes. What they do not have, and all that is no
// process, is read through the server's tree. What exists, in which form, and how nodes are, has been
// decided by the server; the numbers of processes are the server's too. The rest of a /proc root, the
// reader's own process among it, is this machine's.
//
// What comes from the server is checked as what comes from a leaf; and no number of it is ever one
// that a process of this machine could have. While the server does not answer everything is EHOSTDOWN, and
// a listing too, never empty.
type Mirror struct {
	cfg      MirrorConfig
	shared   *proctable.Shared
	store    *cachepolicy.Store
	base     synthetic.Base
	native   *native
	listings *listing.Listings
	mount    *listing.Mount
	ctx      context.Context // of everything that it starts
	stop     context.CancelFunc
	work     sync.WaitGroup

	mu    sync.Mutex
	trees map[proctable.Host]*mirrorTree // guarded by mu
}

// NewMirror makes a mirror, which connects when it is attached to. Close ends it.
func NewMirror(cfg MirrorConfig) *Mirror {
	ctx, stop := context.WithCancel(context.Background())
	store := cachepolicy.NewStore(cachepolicy.StoreConfig{Policy: cfg.Policy, Timeout: cfg.Timeouts.Read})
	base := synthetic.Base{Since: cfg.Now(), Keep: cfg.Policy.Table()}
	m := &Mirror{
		cfg: cfg, store: store, base: base, native: newNative(base, cfg.Proc, Native{Path: cfg.Native}, cfg.Now), ctx: ctx, stop: stop,
		shared:   proctable.NewShared(proctable.Config{Policy: store.Policy, Store: store, Numbers: gpid.Relayed(), Host: cfg.Host}),
		listings: listing.New(listing.Config{Proc: cfg.Proc, Time: func() time.Duration { return cfg.Policy.Listing }}),
		trees:    map[proctable.Host]*mirrorTree{},
	}
	m.mount = m.listings.NewMount()
	m.work.Go(func() {
		for upstream.Sleep(ctx, tidyInterval) {
			m.store.Expire()
			m.listings.Tidy()
		}
	})
	return m
}

// tidyInterval is how often what can be shown to nobody any more is dropped.
const tidyInterval = 10 * time.Second

// Close drops the connection and waits for everything that the mirror started.
func (m *Mirror) Close() error {
	m.stop()
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, t := range m.trees {
		t.close()
	}
	m.work.Wait()
	m.mount.Close()
	m.store.Close()
	return nil
}

// Attach implements vfs.Tree: whoever attaches is shown what the server shows. aname is "" or
// Tree.Attach's "/timens/SECONDS" or "/uptime/SECONDS", before the path that the mirror was made for.
func (m *Mirror) Attach(_ context.Context, _ vfs.Identity, aname string) (vfs.Node, error) {
	h, older, path, err := cutTimens(m.cfg.Host, aname)
	if err != nil {
		return nil, err
	}
	if path != m.cfg.Path && path != "" {
		return nil, fmt.Errorf("attach %q: %w", aname, syscall.ENOENT)
	}
	t, err := m.tree(h)
	if err != nil {
		return nil, err
	}
	return newMirrorRoot(t, path, older), nil
}

// Check says what is wrong with the server, if anything is. It waits until it has been reached, or has
// failed, once.
func (m *Mirror) Check(ctx context.Context) error {
	t, err := m.tree(m.cfg.Host)
	if err != nil {
		return err
	}
	if err := t.server.AwaitTried(ctx); err != nil {
		return err
	}
	if h := t.server.Health(); h.State != upstream.Up {
		return cmp.Or(h.Err, t.server.Unwell())
	}
	return nil
}

// Generation changes whenever a sweep has brought something.
func (m *Mirror) Generation() (sum uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, t := range m.trees {
		for _, n := range t.all() {
			sum += n.Sweeps()
		}
	}
	return sum
}

// tree is the server's tree for readers on machine h.
func (m *Mirror) tree(h proctable.Host) (*mirrorTree, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ctx.Err() != nil {
		return nil, fmt.Errorf("the mirror is closed: %w", syscall.EHOSTDOWN)
	}
	t := m.trees[h]
	if t == nil {
		t = &mirrorTree{m: m, host: h, path: ReaderRoot(h), nodes: make(map[string]*mirrorNode), owners: make(map[gpid.PID]*proctable.Node)}
		t.server = proctable.New(m.ctx, m.shared, m.upstream("server", 0, t.path, m.cfg.Dial), proctable.Traits{})
		t.server.Go(func() { t.server.Run(0) })
		m.trees[h] = t
	}
	return t, nil
}

// upstream is what one node, or the server, is made of.
func (m *Mirror) upstream(name string, index int, path string, dial upstream.Dialer) upstream.Config {
	return upstream.Config{
		Name: gpid.NodeName(name), Index: index, Address: m.cfg.Address, Dial: dial, Tree: path, Reader: m.cfg.Who,
		Timeouts: m.cfg.Timeouts, Log: m.cfg.Log, Now: m.cfg.Now,
	}
}

// A mirrorTree is the server's tree for readers on one machine.
type mirrorTree struct {
	m      *Mirror
	host   proctable.Host
	path   string          // of it at the server
	server *proctable.Node // what is in it beside processes; it has no tables

	mu     sync.Mutex
	closed bool                         // guarded by mu, as is what follows
	nodes  map[string]*mirrorNode       // by name
	count  int                          // of all that there have been
	list   []*proctable.Node            // by index; replaced, never changed
	owners map[gpid.PID]*proctable.Node // whose the numbers of a page are, see ownerPage
}

// A mirrorNode is one node as the server shows it.
type mirrorNode struct {
	*proctable.Node
	stop context.CancelFunc
}

// ownerPage is how many numbers are one node's, see package gpid.
const ownerPage = 100

// close waits for everything that the tree started, once the mirror's context has ended.
func (t *mirrorTree) close() {
	t.mu.Lock()
	t.closed = true
	list := t.list
	t.mu.Unlock()
	t.server.Wait()
	for _, n := range list {
		n.Wait()
	}
}

// all are the nodes as they were listed last.
func (t *mirrorTree) all() []*proctable.Node {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.list
}

// setsName is the directory of the server that lists the nodes of the view.
const setsName = "sets"

// current are the nodes of the view now.
func (t *mirrorTree) current(ctx context.Context, path string) ([]*proctable.Node, error) {
	names := t.m.cfg.Nodes
	if path == "" {
		names = nil
		err := t.server.Call(ctx, t.m.cfg.Who, func(ctx context.Context, root vfs.Dir) error {
			n, err := root.Walk(ctx, setsName)
			if err != nil {
				return err
			}
			dir, ok := n.(vfs.Dir)
			if !ok {
				return syscall.ENOTDIR
			}
			all, err := t.server.ReadDir(ctx, dir, maxMirrored)
			for _, e := range all {
				names = append(names, e.Name)
			}
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("the nodes of the server's view: %w", err)
		}
	}
	return t.follow(names)
}

// maxMirrored bounds the nodes of a server.
const maxMirrored = 100_000

// follow has the tree have these nodes.
func (t *mirrorTree) follow(names []string) ([]*proctable.Node, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil, fmt.Errorf("the mirror is closed: %w", syscall.EHOSTDOWN)
	}
	wanted := make(map[string]bool, len(names))
	changed := false
	for _, name := range names {
		if !vfs.ValidName(name) {
			return nil, fmt.Errorf("the server has a node %q: %w", name, syscall.EIO)
		}
		wanted[name] = true
		if t.nodes[name] == nil {
			t.nodes[name] = t.startLocked(name)
			changed = true
		}
	}
	for name, n := range t.nodes {
		if !wanted[name] {
			delete(t.nodes, name)
			n.stop()
			t.m.work.Go(n.Wait)
			for page, owner := range t.owners {
				if owner == n.Node {
					delete(t.owners, page)
				}
			}
			changed = true
		}
	}
	if changed {
		list := make([]*proctable.Node, 0, len(t.nodes))
		for _, n := range t.nodes {
			list = append(list, n.Node)
		}
		slices.SortFunc(list, func(a, b *proctable.Node) int { return a.Index - b.Index })
		t.list = list
	}
	return t.list, nil
}

// startLocked makes a node and connects it.
func (t *mirrorTree) startLocked(name string) *mirrorNode {
	ctx, stop := context.WithCancel(t.m.ctx)
	t.count++
	cfg := t.m.upstream(name, t.count, t.path+"/"+setsName+"/"+name, func(ctx context.Context) (upstream.Conn, error) {
		// Which dials.
		if err := t.server.AwaitTried(ctx); err != nil {
			return nil, err
		}
		if h := t.server.Health(); h.State != upstream.Up {
			return nil, t.server.Unwell()
		}
		return t.m.cfg.Dial(ctx)
	})
	cfg.Idle = 24 * time.Hour // the server is probed
	var n *proctable.Node
	n = proctable.New(ctx, t.m.shared, cfg, proctable.Traits{MaxProcs: maxMirroredProcs, Listing: true, Swept: func() { t.swept(n) }})
	n.Go(func() { n.Run(0) })
	return &mirrorNode{n, stop}
}

// maxMirroredProcs bounds the processes of one node of a server.
const maxMirroredProcs = gpid.MaxPID

// swept takes note that a node has another table: whose its numbers are.
func (t *mirrorTree) swept(n *proctable.Node) {
	t.m.listings.Swept(n)
	tab := n.Table()
	if tab == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	last := gpid.PID(-1)
	for _, pid := range tab.PIDs() {
		if page := gpid.PID(pid) / ownerPage; page != last {
			t.owners[page], last = n, page
		}
	}
}

// where is the node of a process, by the name that the server has for it: a gpid or NODE:PID.
func (t *mirrorTree) where(ctx context.Context, name string) (n *proctable.Node, g gpid.GPID, err error) {
	if g, ok := gpid.Parse(name); ok {
		if g < gpid.Stride {
			return nil, 0, syscall.ENOENT
		}
		t.mu.Lock()
		n := t.owners[gpid.PID(g)/ownerPage]
		t.mu.Unlock()
		if n != nil {
			return n, g, nil
		}
	}
	var text []byte
	err = t.server.Call(ctx, t.m.cfg.Who, func(ctx context.Context, root vfs.Dir) error {
		text, err = vfs.ReadFile(ctx, root, maxWhere, "cluster", "where", name)
		return err
	})
	if err != nil {
		return nil, 0, err
	}
	rows, err := report.ParseWhere(text)
	if err != nil || len(rows) != 1 || rows[0].GPID < gpid.Stride {
		return nil, 0, fmt.Errorf("where %s is, as the server tells: %w", name, syscall.EIO)
	}
	w := rows[0]
	t.mu.Lock()
	found := t.nodes[w.Node]
	t.mu.Unlock()
	if found == nil {
		names := []string{w.Node}
		for _, n := range t.all() {
			names = append(names, string(n.Name))
		}
		if _, err := t.follow(names); err != nil {
			return nil, 0, err
		}
		t.mu.Lock()
		found = t.nodes[w.Node]
		t.mu.Unlock()
	}
	if found == nil {
		return nil, 0, syscall.ENOENT
	}
	return found.Node, w.GPID, nil
}

// maxWhere bounds that file, in bytes.
const maxWhere = 1 << 16
