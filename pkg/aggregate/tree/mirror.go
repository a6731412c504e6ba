package tree

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/objectid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/proctable"
	"github.com/aggrfs/aggrfs/pkg/aggregate/remote"
	"github.com/aggrfs/aggrfs/pkg/aggregate/synthetic"
	"github.com/aggrfs/aggrfs/pkg/aggregate/upstream"
	"github.com/aggrfs/aggrfs/pkg/aggregate/view"
	"github.com/aggrfs/aggrfs/pkg/cachepolicy"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// A Mirror is the tree of a cluster that another process of this machine runs,
// as seen by one identity: what aggrfs exec and aggrfs mount show of a daemon.
// It is a front end whose only node is the daemon. The processes are the
// daemon's, gpids and all, held in a table as a node's are; self, the reader's
// own process and the rest of a /proc root are found in the reader's native
// procfs, at Config.Native.
type Mirror struct {
	n      *proctable.Node
	host   proctable.Host
	base   synthetic.Base
	native *native
	stop   context.CancelFunc
}

// NewMirror starts to connect to the daemon, up, and returns at once. up.Tree is the root
// within the daemon's tree, "" or "/sets/n[1-3]"; up.Reader is the identity that the mirror is
// for. Of cfg it takes Host, Proc, Native and Now. Close ends it.
func NewMirror(cfg Config, policy *cachepolicy.Policy, up upstream.Config) *Mirror {
	ctx, stop := context.WithCancel(context.Background())
	s := synthetic.Base{Since: cfg.Now(), Keep: policy.Table()}
	m := &Mirror{host: cfg.Host, base: s, native: newNative(s, cfg.Proc, cfg.Native, cfg.Now), stop: stop}
	up.Called = func(ofOther bool, err error) {
		if !ofOther && cachepolicy.Unanswered(err) {
			m.n.Miss() // every answer of the daemon is part of the tree
		}
	}
	m.n = proctable.New(ctx, proctable.NewShared(proctable.Config{
		Policy: func() *cachepolicy.Policy { return policy }, Numbers: &gpid.Numbering{}, Host: cfg.Host,
	}), up, proctable.Traits{
		Lease: 4, // the daemon makes all of it anew each time
		Alone: true, TooMuch: proctable.TooLong,
		Swept: func() {
			if h, err := readHints(ctx, m.n); err == nil {
				follow(m.n, h)
			}
		},
	})
	m.n.Go(func() { m.n.Run(0) })
	return m
}

// Close drops the connection and waits for everything that the mirror started.
func (m *Mirror) Close() error {
	m.stop()
	m.n.Wait()
	return nil
}

// Attach implements vfs.Tree. Only the identity that the mirror was made for
// may attach.
func (m *Mirror) Attach(_ context.Context, who vfs.Identity, aname string) (vfs.Node, error) {
	if !who.Equal(m.n.Reader) {
		return nil, syscall.EACCES
	}
	if aname != "" {
		return nil, syscall.ENOENT
	}
	id := objectid.Child(objectid.Offset, "")
	return &mirrorRoot{
		Root:   remote.NewRoot(m.n, view.Everything{Who: who}, id, m.base.Attr(id, vfs.TypeDir)),
		native: m.native,
	}, nil
}

// Check makes one exchange and says what is wrong with the daemon, if anything. Its first
// table is waited for as long as that may take by the daemon's own configuration; for all
// else there is time until ctx ends.
// A daemon on another machine is refused: its head node's gpids are pids of that
// machine, and would be taken for those of this one.
func (m *Mirror) Check(ctx context.Context) error {
	if m.n.AwaitTried(ctx) != nil {
		return fmt.Errorf("no answer: %w", context.Cause(ctx))
	}
	if h := m.n.Health(); h.State != upstream.Up {
		return h.Err
	}
	h, err := readHints(ctx, m.n)
	if err != nil {
		return err
	}
	follow(m.n, h)
	switch h.BootID {
	case m.host.BootID:
	case "":
		return errors.New("it does not say which machine it runs on, being older than this program; restart it")
	default:
		return errors.New("it runs on another machine, and its head node's processes would be taken for those of this one; run this there")
	}
	// The first table takes a sweep of the daemon's, which may be configured to last longer
	// than ctx does for the exchanges above.
	table, cancel := context.WithTimeout(context.WithoutCancel(ctx), m.Patience())
	defer cancel()
	defer context.AfterFunc(ctx, func() {
		if errors.Is(ctx.Err(), context.Canceled) {
			cancel()
		}
	})()
	if _, err = m.n.Fresh(table); proctable.TooLong(err) {
		return nil // processes are read one by one, see Whole
	}
	return err
}

// Whole reports whether the daemon has told all of its processes at once. If it cannot,
// they are listed and read all the same, each by itself.
func (m *Mirror) Whole() bool { return m.n.Table() != nil }

// Patience is how long a request of the mirror may take, as the daemon is
// configured.
func (m *Mirror) Patience() time.Duration { return m.n.Limits().Read }

// mirrorRoot is the root of a mirror.
type mirrorRoot struct {
	*remote.Root
	native *native
}

// Walk implements vfs.Dir.
func (r *mirrorRoot) Walk(ctx context.Context, name string) (vfs.Node, error) {
	pid, isPID := gpid.Parse(name)
	_, merged := rootNames[name]
	switch {
	case isPID && isCaller(ctx, pid):
		return r.native.ownLink(r.ID(), name), nil
	case name == "sys":
		return newSysDir(r.native, objectid.Child(r.ID(), name), alone), nil
	case !isPID && !merged && !strings.Contains(name, ":"):
		return alone(r.native.entry(r.ID(), name))
	}
	n, err := r.Root.Walk(ctx, name)
	if err != nil && isPID && pid <= gpid.MaxPID && r.native.callerPID(ctx) == gpid.PID(pid) {
		return r.native.link(objectid.Child(r.ID(), name), name), nil
	}
	if vfs.Errno(err) == syscall.ENOENT && isPID && pid == 1 {
		return r.native.initProcess(ctx, r.ID())
	}
	return n, err
}

// processes are the entries of all processes there: of a table, or else as the daemon
// lists them.
func (r *mirrorRoot) processes(ctx context.Context) (all []vfs.DirEntry) {
	entry := func(pid gpid.GPID, id uint64) {
		all = append(all, vfs.DirEntry{
			Name: pid.String(), ID: objectid.Process(r.ID(), r.Node().Index, id), Type: vfs.TypeDir, Next: uint64(pid) + 1,
		})
	}
	if roster := r.Node().Roster(ctx, r.Viewer().Identity()); roster.Table != nil {
		for row := range roster.Rows {
			entry(gpid.GPID(row.PID()), row.ID())
		}
		return all
	}
	listed, err := r.Entries(ctx)
	if err != nil {
		return nil // the daemon is down, as cluster/nodes says
	}
	for _, e := range listed {
		if pid, ok := gpid.Parse(e.Name); ok && e.Type == vfs.TypeDir {
			entry(pid, e.ID)
		}
	}
	slices.SortFunc(all, func(a, b vfs.DirEntry) int { return cmp.Compare(a.Next, b.Next) })
	return all
}

// List implements vfs.Dir. It sweeps.
func (r *mirrorRoot) List(context.Context) (vfs.DirHandle, error) {
	return vfs.NewListing(func(ctx context.Context) ([]vfs.DirEntry, error) {
		all := r.processes(ctx)
		if len(all) == 0 {
			all = r.native.ownEntry(ctx, r.ID())
		}
		return append(all, r.native.otherNames(r.ID(), r.Viewer().Denies)...), nil
	}), nil
}

// Missed is how many answers had to do without the daemon, by its name.
func (m *Mirror) Missed() map[gpid.NodeName]uint64 {
	if count := m.n.Missed(); count > 0 {
		return map[gpid.NodeName]uint64{m.n.Name: count}
	}
	return nil
}
