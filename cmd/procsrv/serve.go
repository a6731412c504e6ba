package main

import (
	"context"
	"errors"
	"log/slog"
	"net"

	"github.com/aggrfs/aggrfs/internal/userdb"
	"github.com/aggrfs/aggrfs/pkg/ninep"
	"github.com/aggrfs/aggrfs/pkg/procfs9p"
	"golang.org/x/sync/errgroup"
)

// socketMode is that of a unix socket: root's alone.
const socketMode = 0o600

// serve wires a leaf to its listeners and runs until ctx ends, which is no
// error. All addresses are listened on before the first connection is served.
func serve(ctx context.Context, o options, log *slog.Logger) (err error) {
	addrs, err := o.addresses()
	if err != nil {
		return err
	}
	trust, err := o.trust()
	if err != nil {
		return err
	}
	keys, err := o.keys(addrs, log)
	if err != nil {
		return err
	}
	leaf, err := procfs9p.New(procfs9p.Config{Root: o.proc, Version: buildVersion(), Log: log})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, leaf.Close()) }()

	listeners := make([]net.Listener, 0, len(addrs))
	for _, a := range addrs {
		l, err := keys.Listen(ctx, a, socketMode)
		if err != nil {
			for _, l := range listeners {
				err = errors.Join(err, l.Close())
			}
			return err
		}
		listeners = append(listeners, l)
	}
	// Sockets may be where only more rights can make them. Nothing has been read
	// from one yet.
	if err := o.confine(log); err != nil {
		for _, l := range listeners {
			err = errors.Join(err, l.Close())
		}
		return err
	}

	// One server for all of them, so that its limits are for all.
	server := ninep.NewServer(ninep.ServerConfig{
		Tree: leaf, Identify: trust.Identify, Log: log,
		Trusted: trust.Trusted, Payer: userdb.New(userdb.Config{}).Payer,
		Limits: ninep.Limits{Descriptors: forConnections()},
		Self:   map[string]string{"self": "1", "thread-self": "1/task/1"},
	})
	group, ctx := errgroup.WithContext(ctx)
	for i, l := range listeners {
		if addrs[i].Network == "tcp" {
			log.Warn("insecure: whoever reaches this address may read as any user, root too", "listen", l.Addr())
		}
		log.Info("serving", "proc", o.proc, "listen", addrs[i].Network+":"+l.Addr().String())
		group.Go(func() error { return server.Serve(ctx, l) })
	}
	return group.Wait()
}
