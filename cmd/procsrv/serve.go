package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/aggrfs/aggrfs/internal/actor"
	"github.com/aggrfs/aggrfs/internal/app/listen"
	"github.com/aggrfs/aggrfs/internal/privs"
	"github.com/aggrfs/aggrfs/internal/service"
	"github.com/aggrfs/aggrfs/internal/userdb"
	"github.com/aggrfs/aggrfs/pkg/ninep"
	"github.com/aggrfs/aggrfs/pkg/procfs9p"
	"github.com/aggrfs/aggrfs/pkg/vfs"
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
	// Before rights are given up, and before anything is read from a network.
	acts, end, err := o.controls()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, end()) }()
	leaf, err := procfs9p.New(procfs9p.Config{Root: o.proc, Version: buildVersion(), Log: log, Control: acts})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, leaf.Close()) }()

	listeners, err := listen.Open(ctx, keys, addrs, socketMode)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, listeners.Close()) }()
	// Sockets may be where only more rights can make them. Nothing has been read
	// from one yet.
	if err := o.confine(log, privs.Leaf()); err != nil {
		return err
	}
	server := ninep.NewServer(ninep.ServerConfig{
		Tree: leaf, Identify: trust.Identify, Log: log,
		Trusted: trust.Trusted, Payer: userdb.New(userdb.Config{}).Payer,
		Limits: ninep.Limits{Descriptors: listen.ForConnections(listen.DescriptorLimit(), 0)},
		Self:   map[string]string{"self": "1", "thread-self": "1/task/1"},
	})
	for i, l := range listeners {
		if addrs[i].Network == "tcp" {
			log.Warn("insecure: whoever reaches this address may read as any user, root too", "listen", l.Addr())
		}
		log.Info("serving", "proc", o.proc, "control", o.control, "listen", addrs[i].Network+":"+l.Addr().String())
	}
	manager := service.NewManager(log)
	defer manager.Stopping()
	manager.Ready()
	watching, stop := context.WithCancel(ctx)
	var watch sync.WaitGroup
	watch.Go(func() { manager.Watch(watching, func(ctx context.Context) error { return answers(ctx, leaf) }) })
	watch.Go(func() { keys.Follow(watching) })
	defer watch.Wait()
	defer stop()
	return listeners.Serve(ctx, server)
}

// answers reads a file of the node as a client would.
func answers(ctx context.Context, leaf vfs.Tree) error {
	root, err := leaf.Attach(ctx, vfs.Root, "")
	if err != nil {
		return err
	}
	dir, ok := root.(vfs.Dir)
	if !ok {
		return errors.New("the root of /proc is no directory")
	}
	h, _, err := vfs.OpenPath(ctx, dir, "uptime")
	if err != nil {
		return err
	}
	return h.Close()
}

// controls is who carries out actions on processes, nil for nobody; end is called last.
func (o options) controls() (c *procfs9p.Control, end func() error, err error) {
	switch o.control {
	case "none":
		return nil, func() error { return nil }, nil
	case "own", "all":
		actors, err := actor.Start()
		if err != nil {
			return nil, nil, err
		}
		return &procfs9p.Control{Actors: actors, OwnOnly: o.control == "own"}, actors.Close, nil
	}
	return nil, nil, fmt.Errorf("--control %s: write none, own or all", o.control)
}
