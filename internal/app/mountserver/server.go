package mountserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aggrfs/aggrfs/internal/handover"
	"github.com/aggrfs/aggrfs/internal/lograte"
	"github.com/aggrfs/aggrfs/pkg/aggregate"
	"github.com/aggrfs/aggrfs/pkg/cachepolicy"
	"github.com/aggrfs/aggrfs/pkg/fusefs"
	"github.com/aggrfs/aggrfs/pkg/ninep"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// A Cluster is what is mounted: an aggregate.Cluster.
type Cluster interface {
	NewMount(native aggregate.Native) *aggregate.Mount
	Generation() uint64
}

// Config is what a server of mounts is made of. Cluster and Identify are required.
type Config struct {
	Cluster  Cluster
	Identify ninep.IdentifyFunc
	// Payer is on whose account a user's mounts count, see ninep.ServerConfig; nil is their own.
	Payer func(uid uint32) (owner uint32, named bool)
	// Patience is how long one request of the tree may take.
	Patience time.Duration
	// Proc is the native procfs; "" is /proc.
	Proc   string
	Limits Limits
	Log    *slog.Logger
}

// A Server serves mounts. Its methods may be called concurrently.
type Server struct {
	cfg      Config
	proc     procfs
	log      *slog.Logger // for what users may cause, bounded by time
	accounts *accounts
	served   served
}

// New returns a server that serves nothing yet.
func New(cfg Config) *Server {
	if cfg.Proc == "" {
		cfg.Proc = "/proc"
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	return &Server{cfg: cfg, proc: procfs(cfg.Proc), log: lograte.ByMessage(cfg.Log), accounts: newAccounts(cfg.Limits, cfg.Payer)}
}

// Alternate is how mounts are offered on the sockets of a 9P server.
func (s *Server) Alternate() *ninep.Alternate {
	return &ninep.Alternate{Magic: handover.Magic, Serve: s.Serve}
}

// Serve takes the offer with which a connection begins, and serves the mount until the
// command ends the connection, the mount is gone, or ctx ends.
func (s *Server) Serve(ctx context.Context, conn *net.UnixConn, peer ninep.Peer) {
	taken, err := handover.Take(conn)
	if err != nil {
		handover.Refuse(conn, err)
		s.log.Warn("a mount is not served", "peer", peer.String(), "error", lograte.Cut(err.Error()))
		return
	}
	m, err := s.begin(taken, peer)
	if err != nil {
		taken.Device.Close()
		taken.Refuse(err)
		s.log.Warn("a mount is not served", "peer", peer.String(), "path", lograte.Cut(taken.Offer.Path), "error", lograte.Cut(err.Error()))
		return
	}
	defer m.end()
	defer s.served.enter(m, peer)()
	s.cfg.Log.Debug("serving a mount", "peer", peer.String(), "path", taken.Offer.Path)
	if err := m.serve(ctx); err != nil {
		s.log.Warn("a mount is served no longer", "peer", peer.String(), "error", lograte.Cut(err.Error()))
	}
}

// A mount is one that is served.
type mount struct {
	taken   *handover.Taken
	fuse    *fusefs.Server
	tree    *aggregate.Mount
	ready   handover.Ready
	limits  mountLimits
	release func() // its place on its user's account
}

// end lets go of what a mount has that is served no longer.
func (m *mount) end() {
	m.tree.Close()
	if m.fuse == nil { // it never was
		m.release()
		return
	}
	select {
	case <-m.fuse.Left():
		m.release()
	default:
		go func() {
			<-m.fuse.Left()
			m.release()
		}()
	}
}

// begin starts to serve a device. What the offer says has been checked then.
func (s *Server) begin(taken *handover.Taken, peer ninep.Peer) (*mount, error) {
	o := &taken.Offer
	if (o.AllUsers || o.As != nil) && (!peer.HasCred || peer.UID != 0) {
		return nil, fmt.Errorf("only root may mount for others: %w", syscall.EPERM)
	}
	if !path.IsAbs(o.Native) || len(o.Native) >= unix.PathMax {
		return nil, fmt.Errorf("the native procfs at %q: the path is not absolute, or too long: %w", lograte.Cut(o.Native), syscall.EINVAL)
	}
	if o.Inside != "" && (!vfs.ValidName(o.Inside) || len(o.Inside) > vfs.MaxName || o.Inside[0] != '.') {
		return nil, fmt.Errorf("the native procfs in %q: that is no name with a dot before it: %w", lograte.Cut(o.Inside), syscall.EINVAL)
	}
	who, err := s.cfg.Identify(peer, ninep.Claim{NUname: vfs.NoID, Aname: o.Path})
	if err != nil {
		return nil, err
	}
	if o.As != nil {
		who = vfs.Identity{UID: o.As.UID, GID: o.As.GID, Groups: o.As.Groups}
	}
	limits, release, err := s.accounts.enter(peer.UID)
	if err != nil {
		return nil, err
	}
	m := &mount{taken: taken, tree: s.cfg.Cluster.NewMount(s.native(o, peer)), ready: handover.Ready{Patience: s.cfg.Patience}, limits: limits, release: release}
	if o.AllUsers {
		var leave func()
		m.limits.guests, leave = s.accounts.guests()
		m.release = func() { leave(); release() }
	}
	if m.fuse, err = fusefs.Serve(taken.Device, s.fuseConfig(m, peer, who)); err != nil {
		m.end()
		return nil, err
	}
	return m, nil
}

// native is where the readers of a mount have their native procfs. One inside of the tree is of use
// where its pids are this process's, and shows what the reader may see: so not in another's tree,
// and not where all is what sweeps bring.
func (s *Server) native(o *handover.Offer, peer ninep.Peer) aggregate.Native {
	n := aggregate.Native{Path: o.Native}
	if o.Inside != "" && o.As == nil && !o.AllUsers && !o.Prefetched && s.proc.sharesPIDs(peer) {
		n.Inside = o.Inside
	}
	return n
}

// fuseConfig is how an offered device is served for who.
func (s *Server) fuseConfig(m *mount, peer ninep.Peer, who vfs.Identity) fusefs.Config {
	o := m.taken.Offer
	cfg := fusefs.Config{
		Owner: who, Shared: o.AllUsers, Whole: o.Whole, Log: s.log,
		Deadline: max(fusefs.DefaultDeadline, s.cfg.Patience+time.Second),
		Notifier: m.taken, IDs: s.proc.idsOf(peer), NoThreads: !s.proc.sharesPIDs(peer),
		Groups: s.proc.groups, ReadsLink: s.proc.readsLink,
		CPUs: cpuSet(o.CPUs), MaxRequests: m.limits.requests, Account: m.limits.account, Accounts: m.limits.guests,
		Attach: func(ctx context.Context, who vfs.Identity) (vfs.Node, error) {
			return m.tree.Attach(ctx, who, o.Path)
		},
	}
	if !o.AllUsers { // exec mounts them where the machine's are
		cfg.FixedPath = aggregate.CPUs
	}
	if o.Init != nil {
		cfg.Resume = &fusefs.Resume{Init: o.Init, Generation: o.Generation}
	}
	if o.Prefetched {
		Prefetch(&cfg, s.cfg.Cluster.Generation)
	}
	return cfg
}

// Prefetch makes a mount one that has only what sweeps bring. generation changes when what the
// tree holds has.
func Prefetch(cfg *fusefs.Config, generation func() uint64) {
	attach := cfg.Attach
	cfg.Prefetched = &fusefs.Prefetched{Interval: prefetchedInterval, Generation: generation}
	cfg.Attach = func(ctx context.Context, who vfs.Identity) (vfs.Node, error) {
		n, err := attach(ctx, who)
		if err != nil {
			return nil, err
		}
		root, ok := n.(vfs.Dir)
		if !ok {
			return nil, syscall.ENOTDIR
		}
		return aggregate.Prefetched(root, cachepolicy.Sweep(prefetchedInterval).Prefetch()), nil
	}
}

// prefetchedInterval is how often a tree of what sweeps bring is made right while it is used. The
// tables are good for as long as the policy says.
const prefetchedInterval = time.Second

// serve answers the kernel until the mount, the command or ctx ends.
func (m *mount) serve(ctx context.Context) error {
	m.taken.Latest = m.fuse.Latest
	m.taken.Ready(m.ready)
	over := make(chan struct{})
	var both sync.WaitGroup
	both.Go(func() {
		defer close(over)
		waiting, cancel := context.WithTimeout(ctx, initTime)
		defer cancel()
		if m.fuse.WaitMounted(waiting) == nil {
			m.taken.Init(m.fuse.Init())
			m.fuse.Wait()
		}
	})
	stop := make(chan struct{})
	both.Go(func() {
		defer close(stop)
		select {
		case <-over:
		case <-ctx.Done():
		}
	})
	err := m.taken.Serve(stop)
	err = errors.Join(err, m.fuse.Close())
	both.Wait()
	return err
}

// initTime bounds the wait for the kernel's first request, which it sends when it mounts.
const initTime = 10 * time.Second

// maxCPUs is how many CPUs a set of package unix has room for.
const maxCPUs = 1024

// cpuSet are those CPUs; nil is any. What there cannot be is left out.
func cpuSet(cpus []int) *unix.CPUSet {
	if len(cpus) == 0 {
		return nil
	}
	var set unix.CPUSet
	for _, cpu := range cpus {
		if cpu >= 0 && cpu < maxCPUs {
			set.Set(cpu)
		}
	}
	if set.Count() == 0 {
		return nil
	}
	return &set
}
