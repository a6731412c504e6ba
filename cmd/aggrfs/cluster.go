package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/aggrfs/aggrfs/internal/access"
	"github.com/aggrfs/aggrfs/internal/config"
	"github.com/aggrfs/aggrfs/internal/lograte"
	"github.com/aggrfs/aggrfs/pkg/aggregate"
	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/cachepolicy"
	"github.com/aggrfs/aggrfs/pkg/ninep"
	"github.com/aggrfs/aggrfs/pkg/procfs9p"
)

// newCluster makes the cluster that cfg describes, with the head node's leaf
// embedded. native is the reader's procfs as the reader sees it. Closing the
// cluster closes everything. keys are for nodes at tls: addresses, see openKeys.
func (a *app) newCluster(cfg *config.Config, keys *ninep.TLS, rights *access.Authority, native string) (*aggregate.Cluster, error) {
	policy, err := policyOf(cfg)
	if err != nil {
		return nil, err
	}
	var nodes []aggregate.NodeConfig
	var names []gpid.NodeName
	behind := make(map[string]*sharedDialer) // by address
	for _, n := range cfg.Nodes {
		addr, err := ninep.ParseAddr(n.Address)
		if err != nil {
			return nil, fmt.Errorf("node %s: %w", n.Name, err)
		}
		dial := dialer(keys, addr, n.Name, ninep.ClientConfig{Log: a.log})
		if n.Foreign {
			dial = foreignDialer(keys, addr, n, a.log)
		}
		node := aggregate.NodeConfig{Name: gpid.NodeName(n.Name), Address: n.Address, Dial: dial}
		if n.Behind {
			if behind[n.Address] == nil {
				behind[n.Address] = newSharedDialer(dialer(keys, addr, hostOf(addr), ninep.ClientConfig{Log: a.log}))
			}
			node.Dial, node.Tree = behind[n.Address].dial, aggregate.NodeTree(node.Name)
		}
		nodes, names = append(nodes, node), append(names, node.Name)
	}
	gpids, err := gpid.Open(cfg.State, cfg.GPIDs, names)
	if err != nil {
		return nil, err
	}
	cluster, err := aggregate.New(aggregate.Config{
		Head: aggregate.NodeConfig{
			Name: gpid.NodeName(cfg.Head), Address: "here", Dial: embeddedLeaf(cfg, a.log),
		},
		Nodes:      nodes,
		GPIDs:      gpids,
		Policy:     policy,
		Names:      a.users,
		Access:     rights,
		Timeouts:   timeouts(cfg),
		MaxProcs:   cfg.MaxProcesses,
		CgroupNode: cfg.CgroupNode,
		Proc:       cfg.Proc,
		Native:     native,
		Version:    version,
		Log:        a.log,
	})
	if err != nil {
		err = errors.Join(err, gpids.Close())
	}
	return cluster, err
}

// newAuthority decides who sees what as the configuration says.
func (a *app) newAuthority(cfg *config.Config) *access.Authority {
	return access.New(cfg.Access, a.users, nil)
}

// policyOf is the cache policy that a configuration names.
func policyOf(cfg *config.Config) (*cachepolicy.Policy, error) {
	switch {
	case cfg.Cache != nil:
		return cachepolicy.Sweep(*cfg.Cache), nil
	case cfg.Policy != "":
		return cachepolicy.Load(cfg.Policy)
	}
	return cachepolicy.Default(), nil
}

func timeouts(cfg *config.Config) aggregate.Timeouts {
	return aggregate.Timeouts{Connect: cfg.Timeouts.Connect, Read: cfg.Timeouts.Read, Sweep: cfg.Timeouts.Sweep}
}

// openKeys opens the certificate files that cfg names, if any.
func openKeys(cfg *config.Config, log *slog.Logger) (*ninep.TLS, error) {
	if cfg.TLS == (config.TLS{}) {
		return nil, nil
	}
	keys, err := ninep.OpenTLS(ninep.TLSFiles(cfg.TLS), log)
	if err != nil {
		return nil, fmt.Errorf("tls: %w", err)
	}
	return keys, nil
}

// dialer opens the connection to the 9P server of that name. What it logs is bounded by
// time: a server may end each connection by an error.
func dialer(keys *ninep.TLS, addr ninep.Addr, name string, cfg ninep.ClientConfig) aggregate.Dialer {
	cfg.Log = lograte.ByMessage(cfg.Log)
	return func(ctx context.Context) (aggregate.Upstream, error) {
		conn, err := keys.Dial(ctx, addr, name)
		if err != nil {
			return nil, err
		}
		client, err := ninep.NewClient(ctx, conn, cfg)
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
