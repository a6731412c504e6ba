// Package cluster makes a running cluster of a checked configuration: a dialer for each node
// by its kind, this machine's own leaf, the nodes' global pids and the cache policy. The
// daemon serves such a cluster, and a command that is given a configuration makes one for
// itself.
//
// # Upstreams
//
// How a node is dialled depends on its entry in the configuration:
//
//   - a procsrv is dialled by [Dialer];
//   - another 9P server of a /proc ("kind: 9p2000") is dialled by foreignDialer;
//   - the nodes behind another aggrfs ("kind: aggrfs") share one connection, sharedDialer;
//   - a node at an exec: address is a command that is spoken with, see commands; it may be of any
//     of these kinds;
//   - the head node is a leaf in this process, embeddedLeaf.
//
// A new kind of upstream is a new dialer here and a case in upstreams.
package cluster

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/aggrfs/aggrfs/internal/access"
	"github.com/aggrfs/aggrfs/internal/config"
	"github.com/aggrfs/aggrfs/internal/userdb"
	"github.com/aggrfs/aggrfs/pkg/aggregate"
	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/cachepolicy"
	"github.com/aggrfs/aggrfs/pkg/ninep"
)

// Parts are what a cluster is made of besides its configuration.
type Parts struct {
	Keys    *ninep.TLS        // for nodes at tls: addresses, see OpenKeys
	Access  *access.Authority // who sees what
	Users   *userdb.DB
	Native  string // the reader's procfs as the reader sees it, an absolute path
	Version string // of this program
	Log     *slog.Logger
}

// New makes the cluster that cfg describes and starts to connect to its nodes. Closing the
// cluster closes all connections.
func New(cfg *config.Config, p Parts) (*aggregate.Cluster, error) {
	policy, err := Policy(cfg)
	if err != nil {
		return nil, err
	}
	nodes, err := upstreams(cfg, p)
	if err != nil {
		return nil, err
	}
	names := make([]gpid.NodeName, len(nodes))
	for i := range nodes {
		names[i] = nodes[i].Name
	}
	gpids, err := gpid.Open(cfg.State, cfg.GPIDs, names)
	if err != nil {
		return nil, err
	}
	cluster, err := aggregate.New(aggregate.Config{
		Head: aggregate.NodeConfig{
			Name: gpid.NodeName(cfg.Head), Address: "here", Dial: embeddedLeaf(cfg, p),
		},
		Nodes:      nodes,
		GPIDs:      gpids,
		Policy:     policy,
		Names:      p.Users,
		Access:     p.Access,
		Timeouts:   aggregate.Timeouts(cfg.Timeouts),
		MaxProcs:   cfg.MaxProcesses,
		CgroupNode: cfg.CgroupNode,
		Proc:       cfg.Proc,
		Native:     p.Native,
		Version:    p.Version,
		Log:        p.Log,
	})
	if err != nil {
		err = errors.Join(err, gpids.Close())
	}
	return cluster, err
}

// upstreams are the nodes of the configuration besides the head node, each with its dialer.
func upstreams(cfg *config.Config, p Parts) ([]aggregate.NodeConfig, error) {
	var nodes []aggregate.NodeConfig
	behind := make(map[string]*sharedDialer) // by address
	started := newCommands(p.Users)
	for _, n := range cfg.Nodes {
		dial, err := p.dialer(n, started)
		if err != nil {
			return nil, err
		}
		client := ninep.ClientConfig{Log: p.Log}
		node := aggregate.NodeConfig{Name: gpid.NodeName(n.Name), Address: n.Address}
		switch {
		case n.Foreign:
			node.Dial = foreignDialer(dial, n, p.Log)
		case n.Behind:
			if behind[n.Address] == nil {
				behind[n.Address] = newSharedDialer(clientDialer(dial, client))
			}
			node.Dial, node.Tree = behind[n.Address].dial, aggregate.NodeTree(node.Name)
		default:
			node.Dial = clientDialer(dial, client)
		}
		nodes = append(nodes, node)
	}
	return nodes, nil
}

// Policy is the cache policy that a configuration names, or the built-in one.
func Policy(cfg *config.Config) (*cachepolicy.Policy, error) {
	switch {
	case cfg.Cache != nil:
		return cachepolicy.Sweep(*cfg.Cache), nil
	case cfg.Policy != "":
		return cachepolicy.Load(cfg.Policy)
	}
	return cachepolicy.Default(), nil
}

// OpenKeys opens the certificate files that cfg names; nil is that it names none.
func OpenKeys(cfg *config.Config, log *slog.Logger) (*ninep.TLS, error) {
	if cfg.TLS == (config.TLS{}) {
		return nil, nil
	}
	keys, err := ninep.OpenTLS(ninep.TLSFiles(cfg.TLS), log)
	if err != nil {
		return nil, fmt.Errorf("tls: %w", err)
	}
	return keys, nil
}
