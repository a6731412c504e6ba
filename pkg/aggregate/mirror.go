package aggregate

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
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// A Mirror is the tree of a cluster that another process of this machine runs,
// as seen by one identity: what aggrfs exec and aggrfs mount show of a daemon.
// It is a front end whose only node is the daemon. The processes are the
// daemon's, gpids and all, held in a table as a node's are; self, the reader's
// own process and the rest of a /proc root are found in the reader's native
// procfs, at Config.Native.
type Mirror struct {
	n      *node
	host   host
	native *native
	stop   context.CancelFunc
}

// NewMirror starts to connect to the daemon, cfg.Head, and returns at once.
// path is the root within the daemon's tree, "" or "/sets/n[1-3]"; who is the
// identity that the mirror is for. Close ends it.
func NewMirror(cfg Config, who vfs.Identity, path string) (*Mirror, error) {
	if len(cfg.Nodes) > 0 {
		return nil, errors.New("aggregate: a mirror has one upstream")
	}
	if err := cfg.check(); err != nil {
		return nil, err
	}
	host, err := thisHost(cfg.Proc)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	m := &Mirror{
		host: host,
		n:    newNode(ctx, &cfg, cfg.Head, 0), stop: stop,
		native: newNative(made{since: cfg.Now(), keep: cfg.Policy.Table()}, &cfg),
	}
	m.n.aname, m.n.reader, m.n.cluster = path, who, true
	m.n.wg.Go(m.n.run)
	return m, nil
}

// Close drops the connection and waits for everything that the mirror started.
func (m *Mirror) Close() error {
	m.stop()
	m.n.wait()
	return nil
}

// Attach implements vfs.Tree. Only the identity that the mirror was made for
// may attach.
func (m *Mirror) Attach(_ context.Context, who vfs.Identity, aname string) (vfs.Node, error) {
	if !who.Equal(m.n.reader) {
		return nil, syscall.EACCES
	}
	if aname != "" {
		return nil, syscall.ENOENT
	}
	id := childID(fnvOffset, "")
	return &mirrorRoot{
		nodeRoot: nodeRoot{
			remoteDir: remoteDir{remote{n: m.n, v: everything{who}, id: id, attr: vfs.Attr{Mode: uint32(vfs.TypeDir) | 0o555}}},
			fixed:     m.native.attr(id, vfs.TypeDir),
		},
		native: m.native,
	}, nil
}

// Check makes one exchange and says what is wrong with the daemon, if anything.
// A daemon on another machine is refused: its head node's gpids are pids of that
// machine, and would be taken for those of this one.
func (m *Mirror) Check(ctx context.Context) error {
	if m.n.awaitTried(ctx) != nil {
		return fmt.Errorf("no answer: %w", context.Cause(ctx))
	}
	if h := m.n.healthNow(); h.state != stateUp {
		return h.err
	}
	h, err := m.n.readHints(ctx)
	if err != nil {
		return err
	}
	m.n.follow(h)
	switch h.bootID {
	case m.host.bootID:
	case "":
		return errors.New("it does not say which machine it runs on, being older than this program; restart it")
	default:
		return errors.New("it runs on another machine, and its head node's processes would be taken for those of this one; run this there")
	}
	if _, err = m.n.fresh(ctx); giant(err) {
		return nil // processes are read one by one, see Whole
	}
	return err
}

// Whole tells whether the daemon has told all of its processes at once. If it cannot,
// they are listed and read all the same, each by itself.
func (m *Mirror) Whole() bool { return m.n.table.Load() != nil }

// Patience is how long a request of the mirror may take, as the daemon is
// configured.
func (m *Mirror) Patience() time.Duration { return m.n.timeouts().Read }

// mirrorRoot is the root of a mirror.
type mirrorRoot struct {
	nodeRoot
	native *native
}

// Walk implements vfs.Dir.
func (r *mirrorRoot) Walk(ctx context.Context, name string) (vfs.Node, error) {
	pid, isPID := gpid.Parse(name)
	_, merged := rootNames[name]
	switch {
	case isPID && isCaller(ctx, pid):
		return r.native.ownLink(r.id, name), nil
	case name == "sys":
		return newSysDir(r.native, childID(r.id, name), alone), nil
	case !isPID && !merged && !strings.Contains(name, ":"):
		return alone(r.native.entry(r.id, name))
	}
	n, err := r.nodeRoot.Walk(ctx, name)
	if err != nil && isPID && pid <= gpid.MaxPID && r.native.callerPID(ctx) == gpid.PID(pid) {
		return r.native.link(childID(r.id, name), name), nil
	}
	if vfs.Errno(err) == syscall.ENOENT && isPID && pid == 1 {
		return r.native.initProcess(ctx, r.id)
	}
	return n, err
}

// processes are the entries of all processes there: of a table, or else as the daemon
// lists them.
func (r *mirrorRoot) processes(ctx context.Context) (all []vfs.DirEntry) {
	entry := func(pid gpid.GPID, id uint64) {
		all = append(all, vfs.DirEntry{
			Name: pid.String(), ID: processID(r.id, r.n.index, id), Type: vfs.TypeDir, Next: uint64(pid) + 1,
		})
	}
	if ros := r.n.roster(ctx, r.v.identity()); ros.t != nil {
		for i := range ros.t.Len() {
			if ros.has(i) {
				entry(gpid.GPID(ros.t.PID(i)), ros.t.ID(i))
			}
		}
		return all
	}
	listed, err := r.list(ctx)
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
			all = r.native.ownEntry(ctx, r.id)
		}
		return append(all, r.native.otherNames(r.id, r.v.denies)...), nil
	}), nil
}
