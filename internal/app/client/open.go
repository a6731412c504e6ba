package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/aggrfs/aggrfs/internal/access"
	"github.com/aggrfs/aggrfs/internal/app/cluster"
	"github.com/aggrfs/aggrfs/internal/app/exit"
	"github.com/aggrfs/aggrfs/internal/config"
	"github.com/aggrfs/aggrfs/internal/handover"
	"github.com/aggrfs/aggrfs/internal/nsexec"
	"github.com/aggrfs/aggrfs/pkg/aggregate"
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
	// Generation changes when what the tree holds has; nil where it is a server's.
	Generation func() uint64
	// Patience is how long a request may take; zero is not known.
	Patience time.Duration
	// Remarks: its tables of processes say what they lack. An older server's do not.
	Remarks bool
	// Remote: its server is on another machine, and so its users are not those of this one.
	Remote bool
	// Gone is how often its server has gone away; nil where that is not counted.
	Gone func() uint64

	cluster *aggregate.Cluster // that this process runs itself; nil is that it does not
	aname   string             // of the root that was asked for, as Tree has it
	as      bool               // Who is not the user of this process
	meaning func(error) error  // says what an error of its server means; nil is that there is none
}

// Served reports whether its server answers the kernel for a mount of it, which it is given then. Of
// any other this process does.
func (t *Tree) Served() bool { return t.Origin == OfServer && !t.Remote }

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
func (t *Tree) Root(ctx context.Context) (vfs.Dir, error) { return t.RootAs(ctx, t.Who) }

// At is the same tree at another path; closing either closes both.
func (t *Tree) At(path string) *Tree {
	other := *t
	other.Path, other.aname = path, path
	return &other
}

// RootAs is Root for somebody else, which only root can ask for.
func (t *Tree) RootAs(ctx context.Context, who vfs.Identity) (vfs.Dir, error) {
	n, err := t.Attach(ctx, who, t.aname)
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
		if s.IsRemote() {
			return openMirror(ctx, s, proc, native)
		}
		if _, err := s.unixAddress(); err != nil {
			return nil, err
		}
		return s.Connect(ctx)
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

// OpenTable is Open for a command that shows a table, which a server elsewhere gives as well.
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
	t := &Tree{Tree: client, Closer: client, Who: who, Remote: s.IsRemote(), as: s.As != "", meaning: func(err error) error { return s.serverError(addr, err) }}
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
	var root vfs.Dir
	if t.Remote { // where a pid of its machine would be taken for one of this machine
		var here string
		if here, err = aggregate.ReaderRoot(); err != nil {
			return err
		}
		t.aname = here + path
		if root, err = t.Root(ctx); errors.Is(err, syscall.ENOENT) {
			t.aname = path // an older server knows no other machines
		}
	}
	if root == nil {
		root, err = t.Root(ctx)
	}
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

// Mounted is the tree for a mount of this process that has the native procfs inside, at that
// name, as Offer says it to a server; closing either closes both. native is as in Open.
func (t *Tree) Mounted(native, inside string) *Tree {
	if t.cluster == nil || t.as {
		return t
	}
	other := *t
	other.Tree = t.cluster.NewMount(aggregate.Native{Path: native, Inside: inside})
	return &other
}

// Offer is the tree's root as a mount of it is offered to its server, see Dial. inside is as in
// Mounted; "" is nowhere.
func (t *Tree) Offer(native, inside string) handover.Offer {
	o := handover.Offer{Path: t.Path, Native: native, Inside: inside}
	if t.as {
		o.As = &handover.Identity{UID: t.Who.UID, GID: t.Who.GID, Groups: t.Who.Groups}
	}
	return o
}

// unixAddress is the address of a server that can be given a mount.
func (s *Source) unixAddress() (ninep.Addr, error) {
	addr, err := s.Address()
	if err == nil && addr.Network != "unix" {
		err = exit.Usagef("--server %s: exec and mount take a server's unix: address, over which they give it the mount, or a tls: address of another machine", addr)
	}
	return addr, err
}

// Dial connects to the socket of the server, over which a descriptor can be sent.
func (s *Source) Dial(ctx context.Context) (*net.UnixConn, error) {
	addr, err := s.unixAddress()
	if err != nil {
		return nil, err
	}
	conn, err := new(net.Dialer).DialContext(ctx, "unix", addr.Address)
	if err != nil {
		return nil, s.serverError(addr, err)
	}
	return conn.(*net.UnixConn), nil
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
	t := &Tree{Tree: c, Closer: c, cluster: c, Origin: from, Who: vfs.Root, Generation: c.Generation}
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
	return t, nil
}
