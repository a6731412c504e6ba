package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"

	"github.com/aggrfs/aggrfs/internal/access"
	"github.com/aggrfs/aggrfs/internal/config"
	"github.com/aggrfs/aggrfs/pkg/aggregate"
	"github.com/aggrfs/aggrfs/pkg/cachepolicy"
	"github.com/aggrfs/aggrfs/pkg/ninep"
	"github.com/aggrfs/aggrfs/pkg/procfs9p"
)

// newCluster makes the cluster that cfg describes, with the head node's leaf
// embedded. native is the reader's procfs as the reader sees it. Closing the
// cluster closes everything.
func (a *app) newCluster(cfg *config.Config, rights *access.Authority, native string) (*aggregate.Cluster, error) {
	state, err := dealIndexes(cfg)
	if err != nil {
		return nil, err
	}
	var nodes []aggregate.NodeConfig
	for _, n := range cfg.Nodes {
		addr, err := ninep.ParseAddr(n.Address)
		if err != nil {
			return nil, fmt.Errorf("node %s: %w", n.Name, err)
		}
		nodes = append(nodes, aggregate.NodeConfig{
			Name: aggregate.NodeName(n.Name), Address: n.Address, Dial: dialer(addr, a.log),
		})
	}
	return aggregate.New(aggregate.Config{
		Head: aggregate.NodeConfig{
			Name: aggregate.NodeName(cfg.Head), Address: "here", Dial: embeddedLeaf(cfg, a.log),
		},
		Nodes:      nodes,
		State:      state,
		Policy:     cachepolicy.Sweep(cfg.Cache),
		Names:      a.users,
		Access:     rights,
		Timeouts:   timeouts(cfg),
		CgroupNode: cfg.CgroupNode,
		Proc:       cfg.Proc,
		Native:     native,
		Version:    version,
		Log:        a.log,
	})
}

// newAuthority decides who sees what as the configuration says.
func (a *app) newAuthority(cfg *config.Config) *access.Authority {
	return access.New(cfg.Access, a.users, nil)
}

func timeouts(cfg *config.Config) aggregate.Timeouts {
	return aggregate.Timeouts{Connect: cfg.Timeouts.Connect, Read: cfg.Timeouts.Read, Sweep: cfg.Timeouts.Sweep}
}

// dealIndexes sees to it that each node has an index that it keeps. A head node
// alone needs no state file.
func dealIndexes(cfg *config.Config) (*aggregate.State, error) {
	if len(cfg.Nodes) == 0 {
		return nil, nil
	}
	state, err := aggregate.LoadState(cfg.State)
	if err != nil {
		return nil, err
	}
	names := make([]aggregate.NodeName, len(cfg.Nodes))
	for i, n := range cfg.Nodes {
		names[i] = aggregate.NodeName(n.Name)
	}
	changed, err := state.Deal(names)
	if err != nil {
		return nil, err
	}
	if changed {
		err = state.Save(cfg.State)
	}
	return state, err
}

// dialer opens the connection to a 9P server.
func dialer(addr ninep.Addr, log *slog.Logger) aggregate.Dialer {
	return func(ctx context.Context) (aggregate.Upstream, error) {
		conn, err := ninep.Dial(ctx, addr)
		if err != nil {
			return nil, err
		}
		client, err := ninep.NewClient(ctx, conn, ninep.ClientConfig{Log: log})
		if err != nil {
			return nil, err
		}
		return client, nil
	}
}

// embeddedLeaf is the leaf of this machine, in this process.
func embeddedLeaf(cfg *config.Config, log *slog.Logger) aggregate.Dialer {
	return func(context.Context) (aggregate.Upstream, error) {
		leaf, err := procfs9p.New(procfs9p.Config{Root: cfg.Proc, Version: version, Log: log})
		if err != nil {
			return nil, err
		}
		return local{leaf}, nil
	}
}

// local is a tree in this process as an upstream: a connection that does not
// end by itself.
type local struct{ *procfs9p.Leaf }

// Done implements aggregate.Upstream.
func (local) Done() <-chan struct{} { return nil }

// Err implements aggregate.Upstream.
func (local) Err() error { return nil }

// noServer tells whether err means that nobody serves at an address, rather
// than that somebody does and something is wrong.
func noServer(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial" && (errors.Is(err, fs.ErrNotExist) || isRefused(err))
}
