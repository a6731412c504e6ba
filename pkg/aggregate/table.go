package aggregate

import (
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/aggrfs/aggrfs/internal/cgroup"
	"github.com/aggrfs/aggrfs/pkg/aggregate/rewrite"
	"github.com/aggrfs/aggrfs/pkg/snapshot"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// A table is the processes of one node as one snapshot brought them. It never
// changes; a newer one takes its place as a whole. Only that a process has ended
// since is noted.
type table struct {
	*snapshot.Table
	moment  time.Time     // the sweep began then, or later
	took    time.Duration // to get it
	expires time.Time     // from then on it is shown only while the node does not answer
	orphan  bool          // its connection has ended, see expired
	gone    sync.Map      // of the processes that have ended, by leaf number
}

// keep is how much longer the table is good; 0 if it is not.
func (t *table) keep(now time.Time) time.Duration {
	if t == nil {
		return 0
	}
	return max(0, t.expires.Sub(now))
}

// row finds a process in the table that readers are served from (see current), and only if
// it is the very process that leaf names.
func (n *node) row(pid PID, leaf uint64) (t *table, i int, keep time.Duration) {
	if t, keep = n.current(); t == nil {
		return nil, 0, 0
	}
	i, ok := t.Find(int32(pid))
	if !ok || t.ID(i) != leaf {
		return nil, 0, 0
	}
	if _, ended := t.gone.Load(leaf); ended {
		return nil, 0, 0
	}
	return t, i, keep
}

// noteEnd notes that r's process has ended, if that is what an error of the node
// means for something on the way to path. Only whom the tables are for are told
// the truth about who exists.
func (r *remote) noteEnd(path []string, err error) {
	if r.proc == nil || !r.v.identity().Equal(r.n.reader) {
		return
	}
	switch vfs.Errno(err) {
	case syscall.ESRCH:
	case syscall.ENOENT:
		// A name that every process has is missing with its process only.
		names := r.n.names.Load()
		if names == nil || len(path) > 2 || len(path) == 2 && names.process[path[1]] == 0 {
			return
		}
	default:
		return
	}
	if t, _, _ := r.n.row(r.proc.pid, r.proc.leaf); t != nil {
		t.gone.Store(r.proc.leaf, true)
	}
	if k := r.n.clock.Load(); k != nil && r.n.store != nil {
		r.n.store.DropProcess(r.proc.kept(k.bootID))
	}
}

// lateReads is how many different processes are read at the end of a table's time
// before it is fetched anew: whoever reads on, process after process, is in the
// middle of a sweep that takes longer than the table's time.
const lateReads = 8

// renew sees to it that there is a good table where one pays, and in time: the last
// one is good for as long as the next is likely to take. It is called before a process
// of the node is read, by those for whom the tables are.
func (n *node) renew(pid PID) {
	t := n.table.Load()
	if t == nil || t.keep(n.now()) > t.took {
		return
	}
	if n.latePID.Swap(int32(pid)) != int32(pid) && n.late.Add(1) > lateReads {
		n.startFetch(n.policy().Table() / 2) // if it comes too late processes are read by themselves
	}
}

// fileIndex is where the file of that name in a process directory stands in the
// table, or -1.
func (t *table) fileIndex(name string) int { return slices.Index(t.Files(), name) }

// host is what rewriting needs to know of the reader's machine.
type host struct {
	bootID   string
	boot     time.Time
	hz       int64
	pageSize int64
}

// clock turns a node's numbers into the reader's. It is made from the facts of
// a snapshot and stays the same as long as the node does, so that a start time
// does not jump by a tick whenever the clocks of two machines drift by a
// microsecond.
type clock struct {
	bootID string
	facts  snapshot.Facts // as of when it was made

	mu   sync.Mutex
	maps map[time.Time]*rewrite.Map // guarded by mu; by the boot of the reader's machine
}

// maxMaps is how many readers' boots a clock remembers.
const maxMaps = 64

// clockDrift is how far a node's idea of its boot time may move before start
// times follow it.
const clockDrift = 500 * time.Millisecond

// inTicks is d in ticks of that many a second, to the nearest: two clocks that
// differ by microseconds make no tick.
func inTicks(d time.Duration, hz int64) int64 {
	d = d.Round(time.Second / time.Duration(hz))
	return int64(d/time.Second)*hz + int64(d%time.Second)*hz/int64(time.Second)
}

// mapping returns what rewrites the files of a node with those facts for a
// reader on machine h, the one from last time where it still fits.
func (c *Cluster) mapping(n *node, f snapshot.Facts, h host) *rewrite.Map {
	k := n.clock.Load()
	if k == nil || k.bootID != f.BootID || k.facts.BootTime.Sub(f.BootTime).Abs() >= clockDrift {
		k = &clock{bootID: f.BootID, facts: f, maps: map[time.Time]*rewrite.Map{}}
		n.clock.Store(k)
	}
	return k.mapFor(c, n, h)
}

// mapFor is the mapping for a reader on machine h.
func (k *clock) mapFor(c *Cluster, n *node, h host) *rewrite.Map {
	k.mu.Lock()
	defer k.mu.Unlock()
	m := k.maps[h.boot]
	if m != nil {
		return m
	}
	boot := k.facts.BootTime
	if n.index == 0 {
		boot = c.host.boot // the same machine, whose clock was read twice
	}
	m = &rewrite.Map{
		PID:        func(native int64) int64 { return int64(n.gpid(PID(native))) },
		StartShift: inTicks(boot.Sub(h.boot), h.hz),
		HzFrom:     int64(k.facts.Hz), HzTo: h.hz,
		PageFrom: int64(k.facts.PageSize), PageTo: h.pageSize,
	}
	if c.cfg.CgroupNode && n.index != 0 {
		m.CgroupSlice = string(cgroup.AppendSlice(nil, string(n.name)))
	}
	if len(k.maps) >= maxMaps {
		clear(k.maps)
	}
	k.maps[h.boot] = m
	return m
}
