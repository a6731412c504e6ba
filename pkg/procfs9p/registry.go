package procfs9p

import (
	"os"
	"sync"

	"github.com/aggrfs/aggrfs/internal/hostclock"
	"github.com/aggrfs/aggrfs/internal/procfile"
	"golang.org/x/sys/unix"
)

// registry knows which process a pid stands for, by the id that its directory
// has in the tree.
//
// The directory's inode number tells processes apart: procfs never gives a
// number twice while it counts to 2^32. But the kernel may forget an inode that
// nobody uses and make another for the same process later (under memory
// pressure, or by vm.drop_caches). So with the inode number goes the start
// time, field 22 of stat. Another inode number with the same start time is the
// same process, unless both could have started within one clock tick: where
// the first was last seen in the very tick that it started in, it may have ended
// in that tick too, and the two are taken for different processes.
type registry struct {
	root  *os.File // the procfs
	enter openFunc // openAt for process directories, unless a test puts something else in its place
	self  int32    // this process in the procfs; 0: it is not there
	seed  uint64
	hz    uint64 // clock ticks a second

	mu    sync.Mutex
	procs map[int32]process // guarded by mu
	own   map[uint64]bool   // ids of the leaf's own threads that were met; guarded by mu
}

type process struct {
	id  uint64
	ino uint64
	// start is the start time in clock ticks plus one, as this time namespace
	// has it; 0 is not known.
	start uint64
	// settled: the process was seen after the tick that it started in.
	settled bool
}

// maxProcesses is how many processes are remembered, those that have ended
// included, before all are forgotten. What is forgotten gets the same id again
// as long as its inode lives.
const maxProcesses = 1 << 17

func newRegistry(root *os.File, self int32, seed uint64) *registry {
	return &registry{
		root: root, enter: openAt, self: self, seed: seed, hz: uint64(hostclock.UserHZ()),
		procs: make(map[int32]process), own: make(map[uint64]bool),
	}
}

func (r *registry) rootFD() int { return int(r.root.Fd()) }

// known is the id of the process of that pid and inode number, if it has
// been settled.
func (r *registry) known(pid int32, ino uint64) (id uint64, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p, ok := r.procs[pid]
	return p.id, ok && p.ino == ino && p.settled
}

// listed is as known, for a directory entry: it need not be settled, and a pid
// never seen before is entered. !ok means that the start time must be asked for.
func (r *registry) listed(pid int32, ino uint64) (id uint64, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p, ok := r.procs[pid]
	if ok && p.ino != ino && p.start != 0 {
		return 0, false
	}
	if !ok || p.ino != ino {
		p = process{id: r.newID(pid, ino), ino: ino}
		r.setLocked(pid, p)
	}
	return p.id, true
}

// settle enters what stat says of the process and returns its id. start is 0
// where it could not be read.
func (r *registry) settle(pid int32, ino, start, now uint64) uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	p, ok := r.procs[pid]
	switch {
	case ok && p.ino == ino:
	case ok && p.settled && p.start == start && start != 0:
		p.ino = ino
	default:
		p = process{id: r.newID(pid, ino), ino: ino}
	}
	if start != 0 {
		p.start, p.settled = start, now+1 > start
	}
	r.setLocked(pid, p)
	return p.id
}

func (r *registry) newID(pid int32, ino uint64) uint64 {
	return mix(r.seed^uint64(pid)<<32, ino)
}

func (r *registry) setLocked(pid int32, p process) {
	if len(r.procs) >= maxProcesses {
		clear(r.procs)
	}
	r.procs[pid] = p
}

// keep forgets the processes that are not among pids, when there are many.
func (r *registry) keep(pids []pidIno) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.procs) <= 2*len(pids)+1024 {
		return
	}
	kept := make(map[int32]process, len(pids))
	for _, e := range pids {
		if p, ok := r.procs[e.pid]; ok {
			kept[e.pid] = p
		}
	}
	r.procs = kept
}

// setOwn notes that id is a thread of the leaf's, isOwn tells it.
func (r *registry) setOwn(id uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.own[id] = true
}

func (r *registry) isOwn(id uint64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.own[id]
}

// nowTicks is the time since boot in clock ticks.
func (r *registry) nowTicks() uint64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return 0
	}
	return uint64(ts.Sec)*r.hz + uint64(ts.Nsec)*r.hz/1e9
}

// open opens the directory of the process that has that pid now.
func (r *registry) open(pid int32) (fd int, id uint64, err error) {
	fd, err = r.enter(r.rootFD(), pidName(pid), openPath|unix.O_DIRECTORY)
	if err != nil {
		return -1, 0, err
	}
	var st unix.Stat_t
	if err = unix.Fstat(fd, &st); err != nil {
		unix.Close(fd)
		return -1, 0, err
	}
	if id, err = r.processID(pid, st.Ino, fd); err != nil {
		unix.Close(fd)
		return -1, 0, err
	}
	return fd, id, nil
}

// idOf is the id of the process that has that pid, written as name, now.
func (r *registry) idOf(pid int32, name string) (uint64, error) {
	var st unix.Statx_t
	if err := statAt(r.rootFD(), name, &st); err != nil {
		return 0, err
	}
	if id, ok := r.known(pid, st.Ino); ok {
		return id, nil
	}
	fd, id, err := r.open(pid)
	if err != nil {
		return 0, err
	}
	unix.Close(fd)
	return id, nil
}

// processID is the id of the process whose directory is open as dirfd and has
// that inode number. After a shortage it is not known: a process of which the start
// time is not known could be taken for another.
func (r *registry) processID(pid int32, ino uint64, dirfd int) (uint64, error) {
	if id, ok := r.known(pid, ino); ok {
		return id, nil
	}
	start, err := startTime(dirfd)
	if err != nil {
		return 0, err
	}
	own, err := r.isOwnThread(pid)
	if err != nil {
		return 0, err
	}
	id := r.settle(pid, ino, start, r.nowTicks())
	if own {
		r.setOwn(id)
	}
	return id, nil
}

// startTime is startOf the stat file below dirfd; 0 where that may not be
// read or is gone. A shortage is an error.
func startTime(dirfd int) (uint64, error) {
	var buf [1024]byte
	fd, err := openAt(dirfd, "stat", openRead)
	n := 0
	if err == nil {
		defer unix.Close(fd)
		n, err = unix.Read(fd, buf[:])
	}
	if isShortage(err) {
		return 0, err
	}
	return startOf(buf[:max(n, 0)]), nil
}

// startOf is what a stat file says of the start time, plus one, or 0.
func startOf(stat []byte) uint64 {
	ticks, ok := procfile.StartTime(stat)
	if !ok {
		return 0
	}
	return uint64(ticks) + 1
}

// isOwnThread reports whether pid is a thread of this process. A thread other than
// the first can be walked to as /<tid>, though that is not listed.
func (r *registry) isOwnThread(pid int32) (bool, error) {
	if r.self == 0 || pid == r.self {
		return r.self != 0, nil
	}
	var st unix.Statx_t
	err := statAt(r.rootFD(), pidName(r.self)+"/task/"+pidName(pid), &st)
	if isGone(err) {
		return false, nil
	}
	return err == nil, err
}
