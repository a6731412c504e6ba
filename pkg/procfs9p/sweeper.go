package procfs9p

import (
	"context"
	"sync/atomic"
	"syscall"

	"github.com/aggrfs/aggrfs/internal/procfile"
	"github.com/aggrfs/aggrfs/pkg/procfs9p/lend"
	"github.com/aggrfs/aggrfs/pkg/snapshot"
	"github.com/aggrfs/aggrfs/pkg/vfs"
	"golang.org/x/sys/unix"
)

// sweeper is a sweep that is being made: the answer so far and the place it has
// come to. One worker at a time owns all fields but the atomic ones.
//
// place is how a worker is left behind. It is even while the worker does what
// cannot block. Before a read that may block the worker makes it odd, and from
// then on touches nothing here, only its own buffer; after the read it makes
// place even again. Whoever watches may take the sweep over by moving place from
// that odd number on: exactly one of the two succeeds, and the other knows that
// the sweep is not its own any more.
type sweeper struct {
	leaf  *Leaf
	b     *snapshot.Builder
	pids  []pidIno
	files []wanted
	// as is with whose rights the files are read; nil is the leaf's own.
	as *session
	// asksStat: "stat" is among the files.
	asksStat bool
	most     int // bytes of what is built; processes beyond are skipped
	// dirs are the directories that were kept open, which all parts of a sweep share,
	// and opened those that are to be, mayOpen at most; opened is nil if another sweep
	// has them.
	dirs, opened map[int32]heldDir
	mayOpen      int

	err    error         // what the sweep has failed of
	unread int           // processes that could not be read, or whose stat could not
	why    syscall.Errno // the first of them could not

	last  <-chan struct{} // is closed when the last worker has ended
	at    int             // the process that comes next, or whose record is begun
	file  int             // the file of it that comes next; 0: nothing is begun
	proc  uint64          // the id of the process whose record is begun
	owner ownership

	place   atomic.Uint64
	waitsOn atomic.Uint64 // proc, as of the last move to an odd place
	stop    atomic.Bool
}

// wanted is a file that a request asks for.
type wanted struct {
	*procfile.File
	name  string
	quick bool // it cannot block
	gone  bool // never exported

	threads bool   // it is asked for of all threads
	thread  string // then its name in a thread's directory; "" is the directory itself
}

func wantedFiles(names []string) []wanted {
	files := make([]wanted, len(names))
	for i, name := range names {
		t := procfile.Process
		files[i] = wanted{File: t.File(name), name: name, quick: !t.MayBlock(name), gone: t.Hidden(name)}
		files[i].thread, files[i].threads = snapshot.ThreadFile(name)
	}
	return files
}

// start runs a worker from the place that the sweep has come to, as soon as there
// are descriptors for it.
func (w *sweeper) start(ctx context.Context) <-chan struct{} {
	done := make(chan struct{})
	w.last = done
	l := w.leaf
	l.guard.hold()
	go func() {
		defer l.guard.leave()
		if err := l.descriptors.Acquire(ctx); err != nil {
			if isShortage(err) {
				w.err = err
			}
			close(done)
			return
		}
		defer l.descriptors.Release()
		if w.work() {
			close(done)
		}
	}()
	return done
}

// work is run, with the rights that the sweep is made with.
func (w *sweeper) work() (owned bool) {
	k := &worker{sweeper: w}
	if w.as == nil || w.as.who.IsRoot() {
		return w.run(k)
	}
	lent := false
	_, err := lend.As(w.leaf.own, &w.as.who, func() (struct{}, error) {
		lent, owned = true, w.run(k)
		return struct{}{}, nil
	})
	if !lent {
		w.err, owned = err, true
	}
	return owned // rights that were not given back end with this goroutine's thread
}

// leave takes the sweep from the worker that is stuck at that place, and reports
// whether it was still there.
func (w *sweeper) leave(at uint64) bool {
	key := w.waitsOn.Load()
	w.leaf.guard.markStuck(key)
	if !w.place.CompareAndSwap(at, at+1) {
		w.leaf.guard.unmarkStuck(key)
		return false
	}
	w.b.Fail(syscall.ETIMEDOUT)
	w.file++
	return true
}

// worker is what a worker has of its own.
type worker struct {
	*sweeper
	scratch []byte

	st unix.Stat_t // of the process directory that is being visited
	// unsettled: the registry lacks the start time of that process, which the
	// stat file will tell.
	unsettled bool
}

// run visits processes, and reports whether it still owned the sweep when it ended.
func (w *sweeper) run(k *worker) bool {
	for w.at < len(w.pids) && w.err == nil && !w.stop.Load() {
		if w.b.Len() > w.most {
			return true
		}
		owned := k.visit(w.pids[w.at].pid)
		if !owned {
			return false
		}
		w.at, w.file = w.at+1, 0
	}
	return true
}

// missed notes that a process could not be read, or not its stat. A shortage is one
// of the whole sweep, whatever it could read before; other errors are of that process,
// and counted.
func (w *sweeper) missed(err error) {
	if isShortage(err) {
		w.err = err
		return
	}
	if w.unread++; w.why == 0 {
		w.why = vfs.Errno(err)
	}
}

// visit makes the record of one process, or the rest of it; of one that is
// gone it makes none. It reports whether the sweep is still the worker's.
func (k *worker) visit(pid int32) (owned bool) {
	dirfd, id, err := k.enterProcess(k.pids[k.at])
	if isShortage(err) && k.yield(pid) {
		dirfd, id, err = k.enterProcess(k.pids[k.at])
	}
	begun := k.file > 0
	if err != nil || begun && id != k.proc {
		if begun {
			k.b.Drop()
		}
		if err != nil && !isGone(err) {
			k.missed(err)
		}
		return true
	}
	if k.dirs[pid].fd != dirfd && k.opened[pid].fd != dirfd {
		defer unix.Close(dirfd)
	}
	if k.as != nil && (node{s: k.as, pid: pid}).isOwn(id) {
		return true // the kernel cannot be asked, see ownprocess.go
	}
	if !begun {
		st := &k.st
		k.proc, k.owner = id, ownership{uid: st.Uid, gid: st.Gid}
		k.b.Begin(snapshot.Proc{
			PID: pid, ID: id, UID: st.Uid, GID: st.Gid, Mode: st.Mode, Nlink: uint32(st.Nlink), Mtime: st.Mtim.Nano(),
			FileUID: vfs.NoID, FileGID: vfs.NoID,
		})
	}
	for k.file < len(k.files) {
		f := &k.files[k.file]
		errno, owned := k.add(dirfd, f)
		if !owned {
			return false
		}
		if isShortage(errno) && k.yield(pid) {
			if errno, owned = k.add(dirfd, f); !owned {
				return false
			}
		}
		if errno != 0 {
			if isShortage(errno) {
				k.b.Drop()
				k.missed(errno)
				return true
			}
			if isGone(errno) && !alive(dirfd) {
				k.b.Drop()
				return true
			}
			if f.name == "stat" {
				k.missed(errno)
			}
			k.b.Fail(errno)
		}
		k.file++
	}
	if own := k.leaf.userNS; k.as == nil && k.owner.stat && k.owner.status && own != (nsFile{}) && userNS(dirfd) == own {
		k.b.OwnerReads()
	}
	return true
}

// yield closes the directories that this sweep has opened to keep, but for that of one
// process, and opens no more to keep. It reports whether there are more descriptors now.
func (w *sweeper) yield(but int32) (some bool) {
	some = w.leaf.dirs.yield()
	w.mayOpen = 0
	for pid, d := range w.opened {
		if pid != but {
			unix.Close(d.fd)
			delete(w.opened, pid)
			some = true
		}
	}
	return some
}

// enterProcess opens the directory of a process, or finds it open.
func (k *worker) enterProcess(p pidIno) (dirfd int, id uint64, err error) {
	l, pid := k.leaf, p.pid
	d, held := k.dirs[pid]
	if !held {
		d, held = k.opened[pid] // by a worker that was left behind
	}
	if held {
		dirfd = d.fd
		err = unix.Fstat(dirfd, &k.st)
	} else if dirfd, err = l.procs.enter(l.rootFD(), pidName(pid), openPath|unix.O_DIRECTORY); err == nil {
		if err = unix.Fstat(dirfd, &k.st); err != nil {
			unix.Close(dirfd)
		} else if len(k.opened) < k.mayOpen {
			k.opened[pid] = heldDir{dirfd, k.st.Ino}
		}
	}
	if err != nil {
		return -1, 0, err
	}
	k.unsettled = false
	id, ok := l.procs.known(pid, k.st.Ino)
	if !ok && k.asksStat {
		id, ok = l.procs.listed(pid, k.st.Ino)
		k.unsettled = ok
	}
	if !ok {
		if id, err = l.procs.processID(pid, k.st.Ino, dirfd); err != nil {
			if k.dirs[pid].fd != dirfd && k.opened[pid].fd != dirfd {
				unix.Close(dirfd)
			}
			return -1, 0, err
		}
	}
	return dirfd, id, nil
}

// settle tells the registry what the stat file says.
func (k *worker) settle(stat []byte) {
	if k.unsettled {
		k.unsettled = false
		r := k.leaf.procs
		r.settle(k.pids[k.at].pid, k.st.Ino, startOf(stat), r.nowTicks())
	}
}

// alive reports whether the process whose directory is open still exists, unless it
// is known that it does not.
func alive(dirfd int) bool {
	var st unix.Stat_t
	return !isGone(unix.Fstatat(dirfd, "stat", &st, unix.AT_SYMLINK_NOFOLLOW))
}

// add adds one file to the answer. Where errno is not 0 nothing was added.
func (k *worker) add(dirfd int, f *wanted) (errno syscall.Errno, owned bool) {
	switch {
	case f.gone:
		return syscall.ENOENT, true
	case f.threads:
		return k.addThreads(dirfd, f)
	case f.Link:
		if err := k.addLink(dirfd, f); err != nil {
			return vfs.Errno(err), true
		}
		return 0, true
	case f.quick:
		return k.addQuick(dirfd, f), true
	}
	return k.addCareful(dirfd, f)
}
