// Package daemon is aggrfs serve: everything between the path of a configuration and a running
// cluster that is served on its addresses.
//
// What is in the configuration about who sees what, and about what is cached, is read again
// while the daemon runs (reload.go); all else is as it was at the start.
package daemon

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/aggrfs/aggrfs/internal/access"
	"github.com/aggrfs/aggrfs/internal/app/cluster"
	"github.com/aggrfs/aggrfs/internal/app/listen"
	"github.com/aggrfs/aggrfs/internal/app/metrics"
	"github.com/aggrfs/aggrfs/internal/app/mountserver"
	"github.com/aggrfs/aggrfs/internal/config"
	"github.com/aggrfs/aggrfs/internal/munge"
	"github.com/aggrfs/aggrfs/internal/service"
	"github.com/aggrfs/aggrfs/internal/userdb"
	"github.com/aggrfs/aggrfs/pkg/aggregate"
	"github.com/aggrfs/aggrfs/pkg/ninep"
)

// Options are what the program gives to its daemon.
type Options struct {
	Version string // of the program
	Users   *userdb.DB
	// Confine gives up the rights that the daemon does not need; nil keeps them.
	Confine func(*slog.Logger) error
	Log     *slog.Logger
	// Ready is called once, when the addresses are served; nil is nobody.
	Ready func([]net.Listener)
}

// Run serves the cluster of the configuration at path until SIGINT or SIGTERM, which is no
// error. Without a path it is the head node alone.
func Run(ctx context.Context, path string, o Options) error {
	cfg := config.Default()
	if path != "" {
		var err error
		if cfg, err = config.Load(path); err != nil {
			return err
		}
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	return Serve(ctx, path, cfg, o)
}

// socketMode lets all local users connect: who they are, and so what they see, is decided by
// the kernel's word on the peer.
const socketMode = 0o666

// Serve serves the cluster of cfg until ctx ends, which is no error. path is where cfg was read,
// and is read again when it changes; "" is nowhere.
func Serve(ctx context.Context, path string, cfg *config.Config, o Options) error {
	policy, err := cluster.Policy(cfg)
	if err != nil {
		return err
	}
	warn(o.Log, cfg, policy)
	logNeeds(o.Log, cfg)
	keys, err := cluster.OpenKeys(cfg, o.Log)
	if err != nil {
		return err
	}
	addrs := make([]ninep.Addr, len(cfg.Listen))
	for i, text := range cfg.Listen {
		if addrs[i], err = ninep.ParseAddr(text); err != nil {
			return err
		}
	}
	// The sockets come first: a second server on the same ones must not disturb
	// the state file.
	listeners, err := listen.Open(ctx, keys, addrs, socketMode)
	if err != nil {
		return err
	}
	defer listeners.Close()
	metricsListener, err := listenMetrics(ctx, cfg, keys)
	if err != nil {
		return err
	}
	defer metricsListener.Close()
	// The head node's own /proc is read here, which takes what a leaf takes.
	// Nothing has been read from a network yet.
	if o.Confine != nil {
		if err := o.Confine(o.Log); err != nil {
			return err
		}
	}
	authority := access.New(cfg.Access, o.Users, nil)
	tree, err := cluster.New(cfg, cluster.Parts{
		Keys: keys, Access: authority, Users: o.Users, Native: cfg.Native, Version: o.Version, Log: o.Log,
	})
	if err != nil {
		return err
	}
	defer tree.Close()
	manager := service.NewManager(o.Log)
	defer manager.Stopping()
	r := &reloader{path: path, started: cfg, inForce: cfg, authority: authority, cluster: tree, users: o.Users, manager: manager, log: o.Log}
	var following task
	following.start(ctx, r.follow)
	defer following.end()
	trust := ninep.Trust{FrontEnds: cfg.FrontEnds, Users: cfg.Certificates, Strangers: true, Insecure: cfg.Insecure, Lookup: o.Users.Identity}
	if cfg.Munge {
		trust.Munge = munge.Decoder{}.Decode
	}
	forConnections, forMounts := needsOf(cfg).forOthers(listen.DescriptorLimit())
	mounts := mountserver.New(mountserver.Config{
		Cluster: tree, Identify: trust.Identify, Payer: o.Users.Payer, Patience: aggregate.Timeouts(cfg.Timeouts).Patience(), Proc: cfg.Proc, Log: o.Log,
		Limits: mountserver.Limits{Descriptors: forMounts},
	})
	tree.InForce(cmp.Or(path, "none: this machine alone"))
	tree.Tell((&self{started: cfg, keys: keys, mounts: mounts, users: o.Users, reloader: r}).parts)
	var certificates task
	certificates.start(ctx, func(ctx context.Context) {
		var following sync.WaitGroup
		following.Go(func() { keys.Follow(ctx) })
		askForRenewed(ctx, cfg, keys)
		following.Wait()
	})
	defer certificates.end()
	server := ninep.NewServer(ninep.ServerConfig{
		Tree: tree, Identify: trust.Identify, Log: o.Log, Auth: cfg.Munge,
		Trusted: trust.Trusted, Payer: o.Users.Payer, Alternate: mounts.Alternate(),
		Limits: ninep.Limits{Descriptors: forConnections},
		Owners: func(uid, _ uint32) (user, group string) { return o.Users.UserName(uid), "" },
		Self:   map[string]string{"self": "1", "thread-self": "1/task/1"},
	})
	o.Log.Info("serving", "addresses", cfg.Listen, "head", cfg.Head, "nodes", len(cfg.Nodes)+1)
	if o.Ready != nil {
		o.Ready(listeners)
	}
	var managed task
	managed.start(ctx, func(ctx context.Context) { tell(ctx, manager, tree, patience(cfg)) })
	defer managed.end()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return listeners.Serve(ctx, server) })
	if cfg.Metrics != nil {
		figures := metrics.New(metrics.Config{
			Version: o.Version, Interval: cfg.Metrics.Interval, Look: tree.NewMeter(cfg.Metrics.Names).Look,
			Cache: tree.CacheFigures, Server: server.Stats, Allocations: authority.Source, Keys: keys, Log: o.Log,
		})
		group.Go(func() error { return figures.Serve(ctx, metricsListener[0], cfg.Metrics.Certificates) })
	}
	return group.Wait()
}

// metricsMode lets nobody but root and the daemon's own user scrape by a unix socket.
const metricsMode = 0o600

// listenMetrics opens the address of metrics; where none is configured there is no listener.
func listenMetrics(ctx context.Context, cfg *config.Config, keys *ninep.TLS) (listen.Listeners, error) {
	if cfg.Metrics == nil {
		return nil, nil
	}
	addr, err := ninep.ParseAddr(cfg.Metrics.Listen)
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	if addr.Network == "tls" { // which is not 9P's: the server of metrics secures it itself
		addr.Network = "tcp"
	}
	all, err := listen.Open(ctx, keys, []ninep.Addr{addr}, metricsMode)
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	return all, nil
}

// patience is how long a start waits for the nodes before it is said to be over.
func patience(cfg *config.Config) time.Duration {
	t := aggregate.Timeouts(cfg.Timeouts).WithDefaults()
	return t.Connect + t.Sweep
}
