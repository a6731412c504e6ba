package procsim

import (
	"cmp"
	"context"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/aggrfs/aggrfs/pkg/snapshot"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

const (
	userHz       = 100
	kernelShare  = 8      // of so many processes one is a kernel thread
	firstPID     = 3      // of the processes beside init and kthreadd
	pidMax       = 131072 // as on a machine of 128 CPUs
	sweepTimeout = 5 * time.Second
)

// A Node is a simulated node. It is a vfs.Tree, as a leaf is.
type Node struct {
	Name string

	id     uint64
	boot   time.Time
	bootID string
	sweeps *snapshot.Server
	counts counts

	mu     sync.Mutex
	rng    *rand.Rand
	procs  []*process     // by pid
	next   int            // the pid that is given out next
	frozen bool           // no process ends or starts
	marked map[int]uint64 // the ids of the processes that there were at the mark, by pid
}

// NewNode makes a node with that many processes. Close ends it.
func NewNode(name string, seed uint64, processes int) *Node {
	h := fnv.New64a()
	h.Write([]byte(name))
	n := &Node{Name: name, id: h.Sum64() | 1, boot: time.Now().Add(-30 * 24 * time.Hour), rng: rand.New(rand.NewPCG(seed, h.Sum64()))}
	n.bootID = fmt.Sprintf("%08x-%04x-4%03x-8%03x-%012x", n.rng.Uint32(), n.rng.IntN(1<<16), n.rng.IntN(1<<12), n.rng.IntN(1<<12), n.rng.Int64N(1<<48))
	n.next = firstPID
	for i := range processes {
		p := newProcess(n.rng, n.next, i%kernelShare == 0, uint64(n.rng.IntN(1e6)))
		switch i {
		case 0:
			p.pid, p.ppid, p.kernel, p.name, p.args, p.size, p.rss = 1, 0, false, "systemd", "/sbin/init\x00", 42000, 3200
		case 1:
			p.pid, p.ppid, p.kernel, p.name, p.args = 2, 0, true, "kthreadd", ""
		}
		n.next = max(n.next, p.pid) + 1 + n.rng.IntN(20)
		p.render()
		n.procs = append(n.procs, p)
	}
	n.sweeps = snapshot.NewServer(n.produce, sweepTimeout)
	n.sweeps.Measure(func(context.Context) *snapshot.Figures { return measure(n) })
	return n
}

// Close ends what runs.
func (n *Node) Close() { n.sweeps.Close() }

// now is the time since the boot in ticks.
func (n *Node) now() uint64 { return uint64(time.Since(n.boot) / (time.Second / userHz)) }

// Churn lets a share of the processes run on, of which every fifth ends and another
// starts in its place, unless the node is frozen.
func (n *Node) Churn(share float64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	many := int(share * float64(len(n.procs)))
	for i, k := range n.rng.Perm(len(n.procs))[:many] {
		if n.procs[k].pid > 2 && i%5 == 0 && !n.frozen {
			p := newProcess(n.rng, n.freePIDLocked(), false, n.now())
			p.render()
			n.procs[k] = p
			continue
		}
		p := *n.procs[k] // who reads the old one goes on doing so
		p.run(n.rng)
		n.procs[k] = &p
	}
	slices.SortFunc(n.procs, func(a, b *process) int { return cmp.Compare(a.pid, b.pid) })
}

// Freeze has no process end or start from now on, though they run on, or lets them again.
func (n *Node) Freeze(frozen bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.frozen = frozen
}

// mark remembers which processes there are now.
func (n *Node) mark() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.marked = make(map[int]uint64, len(n.procs))
	for _, p := range n.procs {
		n.marked[p.pid] = p.id
	}
}

// throughout are the pids of the processes that there were at the mark and are now. One whose
// pid another process has now is not among them.
func (n *Node) throughout() (pids []int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, p := range n.procs {
		if id, was := n.marked[p.pid]; was && id == p.id {
			pids = append(pids, p.pid)
		}
	}
	return pids
}

func (n *Node) freePIDLocked() int {
	for {
		pid := n.next
		if n.next++; n.next >= pidMax {
			n.next = 300
		}
		if !slices.ContainsFunc(n.procs, func(p *process) bool { return p.pid == pid }) {
			return pid
		}
	}
}

// processes are the processes there are now.
func (n *Node) processes() []*process {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.procs)
}

// process is the one with that pid.
func (n *Node) process(pid int) *process {
	n.mu.Lock()
	defer n.mu.Unlock()
	i, ok := slices.BinarySearchFunc(n.procs, pid, func(p *process, pid int) int { return cmp.Compare(p.pid, pid) })
	if !ok {
		return nil
	}
	return n.procs[i]
}

// produce is a [snapshot.Producer].
func (n *Node) produce(ctx context.Context, b *snapshot.Builder, base *snapshot.Table, files []string) error {
	n.counts.sweeps.Add(1)
	b.Reset(base, snapshot.Facts{
		BootID: n.bootID, BootTime: n.boot, Hz: userHz, PageSize: 4096, PIDMax: pidMax,
		Release: release, Hostname: n.Name, Version: "procsim", Monotonic: int64(time.Since(n.boot)),
	}, files)
	b.Name(entryNames())
	procs := n.processes()
	for i, p := range procs {
		if ctx.Err() != nil {
			b.Skip(len(procs)-i, syscall.ETIMEDOUT)
			break
		}
		b.Begin(snapshot.Proc{
			PID: int32(p.pid), ID: p.id, UID: p.uid, GID: p.uid, Mode: uint32(vfs.TypeDir) | 0o555, Nlink: 9,
			Mtime: n.startOf(p).UnixNano(), FileUID: p.uid, FileGID: p.uid, OwnerReads: p.uid != 0,
		})
		for _, name := range files {
			if text, err := n.content(p, name); err != nil {
				b.Fail(vfs.Errno(err))
			} else {
				b.Add(text)
			}
		}
	}
	return nil
}

func (n *Node) startOf(p *process) time.Time {
	return n.boot.Add(time.Duration(p.start) * (time.Second / userHz))
}

// Attach implements vfs.Tree. Snapshots are root's, as a leaf's are.
func (n *Node) Attach(_ context.Context, who vfs.Identity, aname string) (vfs.Node, error) {
	switch {
	case aname == "":
		return dir{&object{n: n, who: who, id: n.id, typ: vfs.TypeDir}}, nil
	case aname != "snapshot":
		return nil, syscall.ENOENT
	case !who.IsRoot():
		return nil, syscall.EACCES
	}
	return snapshot.NewDir(vfs.Attr{ID: n.id ^ 1<<40, Mode: uint32(vfs.TypeDir) | 0o500, Nlink: 1, Mtime: n.boot}, discard, n.sweeps.Answer), nil
}
