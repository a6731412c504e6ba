package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"github.com/aggrfs/aggrfs/internal/access"
	"github.com/aggrfs/aggrfs/internal/app/cluster"
	"github.com/aggrfs/aggrfs/internal/config"
	"github.com/aggrfs/aggrfs/internal/nsexec"
	"github.com/aggrfs/aggrfs/pkg/aggregate"
	"github.com/aggrfs/aggrfs/pkg/cachepolicy"
	"github.com/aggrfs/aggrfs/pkg/ninep"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// A tree is an open source.
type tree struct {
	vfs.Tree
	io.Closer
	origin origin
	who    vfs.Identity // whom it is for
	path   string       // of the root that was asked for, as the whole cluster has it
	aname  string       // of the same, as Tree has it
	// generation changes when what the tree holds has.
	generation func() uint64
	// patience is how long a request may take; zero is not known.
	patience time.Duration
	// remarks: its tables of processes say what they lack.
	remarks bool
	// remote: its server is on another machine, and so its users are not those of this one.
	remote bool
	// singly: a server has more processes than it can tell at once.
	singly bool

	// meaning says what an error of its server means; nil is that there is no server.
	meaning func(error) error
	// at opens the same source for the same user at another path, and closes this tree.
	at func(ctx context.Context, path string) (*tree, error)
	// as opens the same source for somebody else, which only root can.
	as func(ctx context.Context, who vfs.Identity) (*tree, error)
}

// tellSingly says so to who is about to wait for all of them.
func (a *app) tellSingly(t *tree) {
	if t.singly {
		a.tell("too many processes for one answer of the server: each is read by itself, which is slow; name nodes (--nodes), or use aggrfs ps")
	}
}

// explain says what an error of the tree means.
func (t *tree) explain(err error) error {
	if err == nil || t.meaning == nil {
		return err
	}
	return t.meaning(err)
}

// wait is how long to wait for one answer.
func (t *tree) wait() time.Duration { return max(openTimeout, t.patience) }

// root attaches to the root that was asked for.
func (t *tree) root(ctx context.Context) (vfs.Dir, error) {
	n, err := t.Attach(ctx, t.who, t.aname)
	if err != nil {
		return nil, err
	}
	dir, ok := n.(vfs.Dir)
	if !ok {
		return nil, syscall.ENOTDIR
	}
	return dir, nil
}

// whole is the same tree with all nodes of the view; only of a tree that settle has
// not seen.
func (t *tree) whole() *tree {
	all := *t
	all.aname = ""
	return &all
}

// openTimeout bounds the wait for the first answer of a server or the nodes.
const openTimeout = 5 * time.Second

// open finds the tree for who mounts it. native is the reader's procfs as the reader
// will see it.
func (s *source) open(ctx context.Context, a *app, native string) (*tree, error) {
	if s.isRemote() {
		return nil, usage("--server %s: only nodes, ps, where and whoami ask a server on another machine; run this there", s.server)
	}
	from, err := s.from(a)
	if err != nil {
		return nil, err
	}
	proc, err := nsexec.Native("")
	if err != nil {
		return nil, err
	}
	switch from {
	case ofServer:
		return s.mirror(ctx, a, proc, native)
	case ofNodes:
		cfg, err := config.LoadOwn(s.config)
		if err != nil {
			return nil, err
		}
		return s.embed(ctx, a, ofNodes, cfg, native)
	}
	cfg := config.Default()
	cfg.Proc = proc
	return s.embed(ctx, a, ofThisHost, cfg, native)
}

// openTable is open for a command that shows a table. Of a running server that takes a
// connection, and no mirror.
func (s *source) openTable(ctx context.Context, a *app) (*tree, error) {
	from, err := s.from(a)
	if err != nil {
		return nil, err
	}
	if from == ofServer {
		return s.connect(ctx, a)
	}
	return s.open(ctx, a, "/proc")
}

// connect opens the tree of a running server as it is there.
func (s *source) connect(ctx context.Context, a *app) (*tree, error) {
	addr, err := s.address()
	if err != nil {
		return nil, err
	}
	var keys *ninep.TLS
	var who vfs.Identity
	if s.isRemote() {
		if s.as != "" {
			return nil, usage("--as: a server on another machine knows you by your certificate, and shows nobody else's view")
		}
		if keys, err = ninep.OpenTLS(s.tls, a.log); err != nil {
			return nil, fmt.Errorf("--tls-cert, --tls-key, --tls-ca: %w", err)
		}
	} else if who, err = s.who(ctx, a); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	conn, err := keys.Dial(ctx, addr, cmp.Or(s.serverName, addr.Host()))
	if err != nil {
		return nil, serverError(addr, err)
	}
	// A server elsewhere knows the certificate, and not the user of this machine; and one
	// outside of this user namespace knows the user by another number.
	client, err := ninep.NewClient(ctx, conn, ninep.ClientConfig{Log: a.log, Own: s.isRemote() || s.as == "" && renumbered("/proc/self/uid_map", os.Geteuid())})
	if err != nil {
		return nil, serverError(addr, err)
	}
	t := &tree{Tree: client, Closer: client, who: who, remote: s.isRemote(), meaning: func(err error) error { return serverError(addr, err) }}
	if err := s.settle(ctx, a, t); err != nil {
		client.Close()
		return nil, serverError(addr, err)
	}
	return t, nil
}

// settle finds the root that was asked for in a tree that was just opened.
func (s *source) settle(ctx context.Context, a *app, t *tree) error {
	names := func(ctx context.Context) ([]string, error) { return readNames(ctx, t.whole()) }
	path, err := s.path(ctx, a, names)
	if err != nil {
		return err
	}
	t.path, t.aname = path, path
	root, err := t.root(ctx)
	if errors.Is(err, syscall.ENOENT) && len(s.nodes) > 0 {
		if unknown := s.unknownNodes(ctx, names); unknown != nil {
			return unknown
		}
	}
	if err != nil {
		return err
	}
	if t.patience, t.remarks, err = aggregate.Patience(ctx, root); errors.Is(err, syscall.ENOENT) {
		return errNotOurs
	}
	return err
}

// mirror opens a running server for who mounts it.
func (s *source) mirror(ctx context.Context, a *app, proc, native string) (*tree, error) {
	// What is wrong is said by a connection, which is made and asked once.
	first, err := s.connect(ctx, a)
	if err != nil {
		return nil, err
	}
	who, path := first.who, first.path
	first.Close()
	addr, err := s.address()
	if err != nil {
		return nil, err
	}
	return s.mirrorFor(ctx, a, who, addr, aggregate.Config{Proc: proc, Native: native}, path)
}

// mirrorFor opens a running server for who: this process's user, or, for root,
// anyone.
func (s *source) mirrorFor(ctx context.Context, a *app, who vfs.Identity, addr ninep.Addr, base aggregate.Config, path string) (*tree, error) {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	cfg := config.Default()
	m, err := aggregate.NewMirror(aggregate.Config{
		Head:     aggregate.NodeConfig{Name: "server", Address: addr.String(), Dial: cluster.Dialer(nil, addr, "", ninep.ClientConfig{Log: a.log, Own: s.as == "" && renumbered("/proc/self/uid_map", os.Geteuid())})},
		Policy:   cachepolicy.Sweep(time.Second),
		Timeouts: aggregate.Timeouts(cfg.Timeouts),
		Proc:     base.Proc, Native: base.Native, Version: version, Log: a.log,
	}, who, path)
	if err != nil {
		return nil, err
	}
	if err := m.Check(ctx); err != nil {
		m.Close()
		return nil, serverError(addr, err)
	}
	t := &tree{
		Tree: m, Closer: m, origin: ofServer, who: who, path: path, generation: m.Generation, patience: m.Patience(), singly: !m.Whole(),
		meaning: func(err error) error { return serverError(addr, err) },
		as: func(ctx context.Context, who vfs.Identity) (*tree, error) {
			return s.mirrorFor(ctx, a, who, addr, base, path)
		},
	}
	t.at = func(ctx context.Context, path string) (*tree, error) {
		other, err := s.mirrorFor(ctx, a, who, addr, base, path)
		if err == nil {
			t.Close()
		}
		return other, err
	}
	return t, nil
}

// embed connects to the nodes of cfg from this process.
func (s *source) embed(ctx context.Context, a *app, from origin, cfg *config.Config, native string) (*tree, error) {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	keys, err := cluster.OpenKeys(cfg, a.log)
	if err != nil {
		return nil, err
	}
	c, err := cluster.New(cfg, cluster.Parts{
		Keys: keys, Access: access.New(cfg.Access, a.users, nil), Users: a.users, Native: native, Version: version, Log: a.log,
	})
	if err != nil {
		return nil, err
	}
	// What is read by this process is read with its own rights anyway.
	t := &tree{Tree: c, Closer: c, origin: from, who: vfs.Root, generation: c.Generation}
	if s.as != "" {
		t.who, err = s.who(ctx, a)
	}
	if err == nil {
		c.Ready(ctx)
		err = s.settle(ctx, a, t)
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	t.as = func(_ context.Context, who vfs.Identity) (*tree, error) {
		other := *t
		other.who, other.Closer = who, io.NopCloser(nil)
		return &other, nil
	}
	t.at = func(_ context.Context, path string) (*tree, error) {
		other := *t
		other.path, other.aname = path, path
		return &other, nil
	}
	return t, nil
}
