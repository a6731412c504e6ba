package main

import (
	"context"
	"errors"
	"net"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/aggrfs/aggrfs/internal/config"
	"github.com/aggrfs/aggrfs/internal/munge"
	"github.com/aggrfs/aggrfs/pkg/ninep"
)

func (a *app) serveCommand() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Connect to the nodes and serve the merged tree over 9P",
		Long: `Connect to all nodes of the configuration and serve the merged tree. Without
--config it is the head node alone, on ` + defaultServer + `.`,
		Args: noArguments("--config"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg := config.Default()
			if path != "" {
				var err error
				if cfg, err = config.Load(path); err != nil {
					return err
				}
			}
			return a.serve(cmd.Context(), path, cfg)
		},
	}
	cmd.Flags().StringVar(&path, "config", "", "configuration file (YAML)")
	return a.withLogLevel(cmd, "info")
}

// serve serves the cluster of the configuration at path ("" is none) until SIGINT
// or SIGTERM.
func (a *app) serve(ctx context.Context, path string, cfg *config.Config) error {
	ctx, stop := untilSignal(ctx)
	defer stop()
	return a.serveUntil(ctx, stop, path, cfg, func([]net.Listener) {})
}

// serveUntil serves the cluster until ctx ends, which stop makes it do. ready is
// told where.
func (a *app) serveUntil(ctx context.Context, stop func(), path string, cfg *config.Config, ready func([]net.Listener)) error {
	policy, err := policyOf(cfg)
	if err != nil {
		return err
	}
	warn(a.log, cfg, policy)
	a.tellNeeds(cfg)
	keys, err := openKeys(cfg, a.log)
	if err != nil {
		return err
	}
	// The sockets come first: a second server on the same ones must not disturb
	// the state file.
	listeners, err := listenAll(ctx, cfg, keys)
	if err != nil {
		return err
	}
	defer func() {
		for _, l := range listeners {
			l.Close()
		}
	}()
	// The head node's own /proc is read here, which takes what a leaf takes.
	// Nothing has been read from a network yet.
	if a.confine != nil {
		if err := a.confine(a.log); err != nil {
			return err
		}
	}
	r := &rights{path: path, inForce: cfg, authority: a.newAuthority(cfg), users: a.users, log: a.log}
	cluster, err := a.newCluster(cfg, keys, r.authority, cfg.Native)
	if err != nil {
		return err
	}
	defer cluster.Close()
	r.setPolicy, r.note, r.warn = cluster.SetPolicy, cluster.Note, cluster.Warn
	trust := ninep.Trust{FrontEnds: cfg.FrontEnds, Users: cfg.Certificates, Strangers: true, Insecure: cfg.Insecure, Lookup: a.users.Identity}
	if cfg.Munge {
		trust.Munge = munge.Decoder{}.Decode
	}
	var group errgroup.Group
	group.Go(func() error { r.follow(ctx); return nil })
	// One server for all of them, so that its limits are for all.
	server := ninep.NewServer(ninep.ServerConfig{
		Tree: cluster, Identify: trust.Identify, Log: a.log, Auth: cfg.Munge,
		Trusted: trust.Trusted, Payer: a.users.Payer,
		Limits: ninep.Limits{Descriptors: needsOf(cfg).forConnections(available(cfg.Proc))},
		Owners: func(uid, _ uint32) (user, group string) { return a.users.UserName(uid), "" },
		Self:   map[string]string{"self": "1", "thread-self": "1/task/1"},
	})
	for _, l := range listeners {
		group.Go(func() error {
			defer stop() // one that fails ends all
			return server.Serve(ctx, l)
		})
	}
	a.log.Info("serving", "addresses", cfg.Listen, "head", cfg.Head, "nodes", len(cfg.Nodes)+1)
	ready(listeners)
	return group.Wait()
}

// listenAll opens all addresses or none. Local users may all connect: who they
// are, and so what they see, is decided by the kernel's word on the peer.
func listenAll(ctx context.Context, cfg *config.Config, keys *ninep.TLS) ([]net.Listener, error) {
	var all []net.Listener
	for _, text := range cfg.Listen {
		addr, err := ninep.ParseAddr(text)
		var l net.Listener
		if err == nil {
			l, err = keys.Listen(ctx, addr, 0o666)
		}
		if err != nil {
			for _, l := range all {
				err = errors.Join(err, l.Close())
			}
			return nil, err
		}
		all = append(all, l)
	}
	return all, nil
}
