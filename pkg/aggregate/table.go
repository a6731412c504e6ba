package aggregate

import (
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/snapshot"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// A table is the processes of one node as one snapshot brought them. It never
// changes; a newer one takes its place as a whole. Only that a process has ended
// since is noted.
type table struct {
	*snapshot.Table
	asked   time.Time     // when the node was asked for it
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
func (n *node) row(pid gpid.PID, leaf uint64) (t *table, i int, keep time.Duration) {
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
func (n *node) renew(pid gpid.PID) {
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
