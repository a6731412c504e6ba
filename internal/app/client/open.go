package client

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
	"github.com/aggrfs/aggrfs/internal/app/exit"
	"github.com/aggrfs/aggrfs/internal/config"
	"github.com/aggrfs/aggrfs/internal/nsexec"
	"github.com/aggrfs/aggrfs/pkg/aggregate"
	"github.com/aggrfs/aggrfs/pkg/cachepolicy"
	"github.com/aggrfs/aggrfs/pkg/ninep"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// A Tree is an open Source. Its methods may be called concurrently.
type Tree struct {
	vfs.Tree
	io.Closer
	Origin Origin
	Who    vfs.Identity // whom it is for
	Path   string       // of the root that was asked for, as the whole cluster has it
	// Generation changes when what the tree holds has; nil where OpenTable opened it.
	Generation func() uint64
	// Patience is how long a request may take; zero is not known.
	Patience time.Duration
	// Remarks: its tables of processes say what they lack. An older server's do not.
	Remarks bool
	// Remote: its server is on another machine, and so its users are not those of this one.
	Remote bool
	// At opens the same source for the same user at another path, and closes this tree; As opens
	// it for somebody else, which only root can. Both are nil where OpenTable opened the tree
	// from a server.
	At func(ctx context.Context, path string) (*Tree, error)
	As func(ctx context.Context, who vfs.Identity) (*Tree, error)

	aname   string            // of the root that was asked for, as Tree has it
	singly  bool              // a server has more processes than it can tell at once
	meaning func(error) error // says what an error of its server means; nil is that there is none
}

// TellSingly warns a user, who is about to wait for all processes, if each is read by itself.
func (t *Tree) TellSingly(e *Env) {
	if t.singly {
		e.Tell("the server has more processes than fit into one answer, so each is read by itself, which is slow: choose fewer nodes (--nodes), or use aggrfs ps")
	}
}

// Explain says what an error of the tree means.
func (t *Tree) Explain(err error) error {
	if err == nil || t.meaning == nil {
		return err
	}
	return t.meaning(err)
}

// Wait is how long to wait for one answer.
func (t *Tree) Wait() time.Duration { return max(OpenTimeout, t.Patience) }

// Root attaches to the root that was asked for.
func (t *Tree) Root(ctx context.Context) (vfs.Dir, error) {
	n, err := t.Attach(ctx, t.Who, t.aname)
	if err != nil {
		return nil, err
	}
	dir, ok := n.(vfs.Dir)
	if !ok {
		return nil, syscall.ENOTDIR
	}
	return dir, nil
}

// Whole is the same tree with all nodes of the view; only of a tree that settle has
// not seen.
func (t *Tree) Whole() *Tree {
	all := *t
	all.aname = ""
	return &all
}

// OpenTimeout bounds the wait for the first answer of a server or the nodes.
const OpenTimeout = 5 * time.Second

// Open finds the tree for who mounts it. native is the reader's procfs as the reader
// will see it.
func (s *Source) Open(ctx context.Context, native string) (*Tree, error) {
	if s.IsRemote() {
		return nil, exit.Usagef("--server %s: only nodes, ps, where and whoami can ask a server on another machine; run this there", s.Server)
	}
	from, err := s.from()
	if err != nil {
		return nil, err
	}
	proc, err := nsexec.Native("")
	if err != nil {
		return nil, err
	}
	switch from {
	case OfServer:
		return s.Mirror(ctx, proc, native)
	case OfNodes:
		cfg, err := config.LoadOwn(s.Config)
		if err != nil {
			return nil, err
		}
		return s.embed(ctx, OfNodes, cfg, native)
	}
	cfg := config.Default()
	cfg.Proc = proc
	return s.embed(ctx, OfThisHost, cfg, native)
}

// OpenTable is Open for a command that shows a table. Of a running server that takes a
// connection, and no mirror.
func (s *Source) OpenTable(ctx context.Context) (*Tree, error) {
	from, err := s.from()
	if err != nil {
		return nil, err
	}
	if from == OfServer {
		return s.Connect(ctx)
	}
	return s.Open(ctx, "/proc")
}

// Connect opens the tree of a running server as it is there.
func (s *Source) Connect(ctx context.Context) (*Tree, error) {
	addr, err := s.Address()
	if err != nil {
		return nil, err
	}
	var keys *ninep.TLS
	var who vfs.Identity
	if s.IsRemote() {
		if s.As != "" {
			return nil, exit.Usagef("--as: a server on another machine knows you by your certificate, and shows nobody else's view")
		}
		if keys, err = ninep.OpenTLS(s.TLS, s.Log); err != nil {
			return nil, fmt.Errorf("--tls-cert, --tls-key, --tls-ca: %w", err)
		}
	} else if who, err = s.who(ctx); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, OpenTimeout)
	defer cancel()
	conn, err := keys.Dial(ctx, addr, cmp.Or(s.ServerName, addr.Host()))
	if err != nil {
		return nil, s.serverError(addr, err)
	}
	// A server elsewhere knows the certificate, and not the user of this machine; and one
	// outside of this user namespace knows the user by another number.
	client, err := ninep.NewClient(ctx, conn, ninep.ClientConfig{Log: s.Log, Own: s.IsRemote() || s.As == "" && renumbered(s.UIDMap, os.Geteuid())})
	if err != nil {
		return nil, s.serverError(addr, err)
	}
	t := &Tree{Tree: client, Closer: client, Who: who, Remote: s.IsRemote(), meaning: func(err error) error { return s.serverError(addr, err) }}
	if err := s.settle(ctx, t); err != nil {
		client.Close()
		return nil, s.serverError(addr, err)
	}
	return t, nil
}

// settle finds the root that was asked for in a tree that was just opened.
func (s *Source) settle(ctx context.Context, t *Tree) error {
	names := func(ctx context.Context) ([]string, error) { return t.Whole().NodeNames(ctx) }
	path, err := s.RootPath(ctx, names)
	if err != nil {
		return err
	}
	t.Path, t.aname = path, path
	root, err := t.Root(ctx)
	if errors.Is(err, syscall.ENOENT) && len(s.Nodes) > 0 {
		if unknown := s.unknownNodes(ctx, names); unknown != nil {
			return unknown
		}
	}
	if err != nil {
		return err
	}
	if t.Patience, t.Remarks, err = aggregate.Patience(ctx, root); errors.Is(err, syscall.ENOENT) {
		return errNotOurs
	}
	return err
}

// Mirror opens a running server for who mounts it.
func (s *Source) Mirror(ctx context.Context, proc, native string) (*Tree, error) {
	// What is wrong is said by a connection, which is made and asked once.
	first, err := s.Connect(ctx)
	if err != nil {
		return nil, err
	}
	who, path := first.Who, first.Path
	first.Close()
	addr, err := s.Address()
	if err != nil {
		return nil, err
	}
	return s.mirrorFor(ctx, who, addr, aggregate.Config{Proc: proc, Native: native}, path)
}

// mirrorFor opens a running server for who: this process's user, or, for root,
// anyone.
func (s *Source) mirrorFor(ctx context.Context, who vfs.Identity, addr ninep.Addr, base aggregate.Config, path string) (*Tree, error) {
	ctx, cancel := context.WithTimeout(ctx, OpenTimeout)
	defer cancel()
	cfg := config.Default()
	m, err := aggregate.NewMirror(aggregate.Config{
		Head:     aggregate.NodeConfig{Name: "server", Address: addr.String(), Dial: cluster.Dialer(nil, addr, "", ninep.ClientConfig{Log: s.Log, Own: s.As == "" && renumbered(s.UIDMap, os.Geteuid())})},
		Policy:   cachepolicy.Sweep(time.Second),
		Timeouts: aggregate.Timeouts(cfg.Timeouts),
		Proc:     base.Proc, Native: base.Native, Version: s.Version, Log: s.Log,
	}, who, path)
	if err != nil {
		return nil, err
	}
	if err := m.Check(ctx); err != nil {
		m.Close()
		return nil, s.serverError(addr, err)
	}
	t := &Tree{
		Tree: m, Closer: m, Origin: OfServer, Who: who, Path: path, Generation: m.Generation, Patience: m.Patience(), singly: !m.Whole(),
		meaning: func(err error) error { return s.serverError(addr, err) },
		As: func(ctx context.Context, who vfs.Identity) (*Tree, error) {
			return s.mirrorFor(ctx, who, addr, base, path)
		},
	}
	t.At = func(ctx context.Context, path string) (*Tree, error) {
		other, err := s.mirrorFor(ctx, who, addr, base, path)
		if err == nil {
			t.Close()
		}
		return other, err
	}
	return t, nil
}

// embed connects to the nodes of cfg from this process.
func (s *Source) embed(ctx context.Context, from Origin, cfg *config.Config, native string) (*Tree, error) {
	ctx, cancel := context.WithTimeout(ctx, OpenTimeout)
	defer cancel()
	keys, err := cluster.OpenKeys(cfg, s.Log)
	if err != nil {
		return nil, err
	}
	c, err := cluster.New(cfg, cluster.Parts{
		Keys: keys, Access: access.New(cfg.Access, s.Users, nil), Users: s.Users, Native: native, Version: s.Version, Log: s.Log,
	})
	if err != nil {
		return nil, err
	}
	// What is read by this process is read with its own rights anyway.
	t := &Tree{Tree: c, Closer: c, Origin: from, Who: vfs.Root, Generation: c.Generation}
	if s.As != "" {
		t.Who, err = s.who(ctx)
	}
	if err == nil {
		c.Ready(ctx)
		err = s.settle(ctx, t)
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	t.As = func(_ context.Context, who vfs.Identity) (*Tree, error) {
		other := *t
		other.Who, other.Closer = who, io.NopCloser(nil)
		return &other, nil
	}
	t.At = func(_ context.Context, path string) (*Tree, error) {
		other := *t
		other.Path, other.aname = path, path
		return &other, nil
	}
	return t, nil
}
