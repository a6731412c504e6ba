package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/aggrfs/aggrfs/internal/config"
	"github.com/aggrfs/aggrfs/internal/nodeset"
	"github.com/aggrfs/aggrfs/internal/nsexec"
	"github.com/aggrfs/aggrfs/pkg/aggregate"
	"github.com/aggrfs/aggrfs/pkg/cachepolicy"
	"github.com/aggrfs/aggrfs/pkg/ninep"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// defaultServer is where aggrfs serve listens unless told otherwise.
const defaultServer = "unix:/run/aggrfs/aggrfs.sock"

// source says where a command gets the merged tree from: a running server, a
// configuration of its own, or the head node alone.
type source struct {
	server string
	config string
	nodes  string
	as     string        // the user whose view it is; "" is this process's
	ahead  time.Duration // how much earlier than this machine the reader's seems to have booted

	tls        ninep.TLSFiles // for a server on another machine
	serverName string
}

func (s *source) addFlags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&s.server, "server", "", "address of the aggrfs serve to ask (default "+defaultServer+", and without a server there the head node alone)")
	cmd.Flags().StringVar(&s.config, "config", "", "configuration file of the cluster, to be connected to without a server")
	cmd.Flags().StringVar(&s.nodes, "nodes", "", "only these nodes, such as n[001-032,40]")
	cmd.Flags().StringVar(&s.as, "as", "", "see what this `USER` sees (for root)")
	cmd.MarkFlagsMutuallyExclusive("server", "config")
}

// path is the root within the merged tree that --nodes asks for.
func (s *source) path() (string, error) {
	clock := ""
	if s.ahead > 0 {
		clock = fmt.Sprintf("/timens/%d", s.ahead/time.Second)
	}
	if s.nodes == "" {
		return clock, nil
	}
	set, err := nodeset.Parse(s.nodes)
	if err != nil {
		return "", fmt.Errorf("--nodes: %w", err)
	}
	return clock + "/sets/" + set.String(), nil
}

// A tree is an open source.
type tree struct {
	vfs.Tree
	io.Closer
	who   vfs.Identity // whom it is for
	aname string       // of the root that was asked for
	// generation changes when what the tree holds has.
	generation func() uint64
	// patience is how long a request may take; zero is not known.
	patience time.Duration
	// singly: a server has more processes than it can tell at once.
	singly bool

	// as opens the same source for somebody else, which only root can.
	as func(ctx context.Context, who vfs.Identity) (*tree, error)
}

// tellSingly says so to who is about to wait for all of them.
func (t *tree) tellSingly() {
	if t.singly {
		fmt.Fprintln(os.Stderr, "aggrfs: too many processes for one answer of the server: each is read by itself, which is slow; name nodes (--nodes), or use aggrfs ps")
	}
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

// self is the identity of this process, as a server finds it by its peer's
// credentials.
func self() (vfs.Identity, error) {
	groups, err := os.Getgroups()
	if err != nil {
		return vfs.Identity{}, err
	}
	who := vfs.Identity{UID: uint32(os.Geteuid()), GID: uint32(os.Getegid())}
	if who.IsRoot() {
		return vfs.Root, nil
	}
	for _, g := range groups {
		if uint32(g) != who.GID {
			who.Groups = append(who.Groups, uint32(g))
		}
	}
	slices.Sort(who.Groups)
	return who, nil
}

// who is for whom the tree is opened.
func (s *source) who(ctx context.Context, a *app) (vfs.Identity, error) {
	switch {
	case s.as == "":
		return self()
	case os.Geteuid() != 0:
		return vfs.Identity{}, errors.New("--as: only root may see what others see")
	}
	who, err := a.users.Identity(ctx, s.as)
	if err != nil {
		err = fmt.Errorf("--as: %w", err)
	}
	return who, err
}

// openTimeout bounds the wait for the first answer of a server or the nodes.
const openTimeout = 5 * time.Second

// open finds the tree. native is the reader's procfs as the reader will see it.
func (s *source) open(ctx context.Context, a *app, native string) (*tree, error) {
	if s.isRemote() {
		return nil, fmt.Errorf("--server %s: only nodes and where ask a server on another machine; run this there", s.server)
	}
	path, err := s.path()
	if err != nil {
		return nil, err
	}
	proc, err := nsexec.Native("")
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	cfg := config.Default()
	if s.config != "" {
		if cfg, err = config.LoadOwn(s.config); err != nil {
			return nil, err
		}
	} else {
		t, err := s.mirror(ctx, a, proc, native, path)
		if err == nil || s.server != "" || !noServer(err) {
			return t, err
		}
		cfg.Proc = proc
	}
	return s.embed(ctx, a, cfg, native, path)
}

// mirror opens a running server.
func (s *source) mirror(ctx context.Context, a *app, proc, native, path string) (*tree, error) {
	address := s.server
	if address == "" {
		address = defaultServer
	}
	addr, err := ninep.ParseAddr(address)
	if err != nil {
		return nil, fmt.Errorf("--server: %w", err)
	}
	who, err := s.who(ctx, a)
	if err != nil {
		return nil, err
	}
	return s.mirrorFor(ctx, a, who, address, addr, aggregate.Config{Proc: proc, Native: native}, path)
}

// mirrorFor opens a running server for who: this process's user, or, for root,
// anyone.
func (s *source) mirrorFor(ctx context.Context, a *app, who vfs.Identity, address string, addr ninep.Addr, base aggregate.Config, path string) (*tree, error) {
	cfg := config.Default()
	m, err := aggregate.NewMirror(aggregate.Config{
		Head:     aggregate.NodeConfig{Name: "server", Address: address, Dial: dialer(nil, addr, "", ninep.ClientConfig{Log: a.log})},
		Policy:   cachepolicy.Sweep(time.Second),
		Timeouts: timeouts(cfg),
		Proc:     base.Proc, Native: base.Native, Version: version, Log: a.log,
	}, who, path)
	if err != nil {
		return nil, err
	}
	if err := m.Check(ctx); err != nil {
		m.Close()
		return nil, s.ofServer(address, err)
	}
	return &tree{Tree: m, Closer: m, who: who, generation: m.Generation, patience: m.Patience(), singly: !m.Whole(), as: func(ctx context.Context, who vfs.Identity) (*tree, error) {
		return s.mirrorFor(ctx, a, who, address, addr, base, path)
	}}, nil
}

// embed connects to the nodes of cfg from this process.
func (s *source) embed(ctx context.Context, a *app, cfg *config.Config, native, path string) (*tree, error) {
	keys, err := openKeys(cfg, a.log)
	if err != nil {
		return nil, err
	}
	c, err := a.newCluster(cfg, keys, a.newAuthority(cfg), native)
	if err != nil {
		return nil, err
	}
	// What is read by this process is read with its own rights anyway.
	t := &tree{Tree: c, Closer: c, who: vfs.Root, aname: path, generation: c.Generation}
	t.as = func(_ context.Context, who vfs.Identity) (*tree, error) {
		return &tree{Tree: c, Closer: io.NopCloser(nil), who: who, aname: path, generation: c.Generation}, nil
	}
	if s.as != "" {
		if t.who, err = s.who(ctx, a); err != nil {
			c.Close()
			return nil, err
		}
	}
	c.Ready(ctx)
	root, err := t.root(ctx)
	if err != nil {
		c.Close()
		if s.as != "" {
			return nil, fmt.Errorf("--nodes: %s sees not all of %s (see aggrfs whoami --as %s)", s.as, s.nodes, s.as)
		}
		return nil, fmt.Errorf("--nodes: %s is not in the cluster, which has %s", s.nodes, nodeNames(c))
	}
	if t.patience, err = aggregate.Patience(ctx, root); err != nil {
		c.Close()
		return nil, err
	}
	return t, nil
}

// nodeNames are the cluster's nodes as a nodeset.
func nodeNames(c *aggregate.Cluster) string {
	var names []string
	for _, n := range c.Names() {
		names = append(names, string(n))
	}
	return nodeset.Of(names...).String()
}

func isRefused(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }
