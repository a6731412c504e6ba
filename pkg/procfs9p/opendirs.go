package procfs9p

import (
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// heldDirs are the process directories that sweeps keep open from one to the next,
// so that a sweep need not look them up again. A directory that is open stands for
// the very process that it was opened of, and for nobody once that has ended.
//
// One sweep at a time has them; another one that runs meanwhile opens its own.
//
// They are the first that go when there are too few descriptors (yield).
type heldDirs struct {
	most int // descriptors

	mu     sync.Mutex
	until  time.Time         // none are kept before that; guarded by mu
	free   map[int32]heldDir // by pid; nil while a sweep has them; guarded by mu
	closed bool
	idle   *time.Timer // drops them when nobody sweeps
}

// heldDir is one of them.
type heldDir struct {
	fd  int
	ino uint64
}

const (
	// heldFor is how long they are kept when nobody sweeps.
	heldFor = time.Minute
)

func newHeldDirs(most int) *heldDirs {
	return &heldDirs{most: most, free: make(map[int32]heldDir)}
}

// mayKeep is how many may stay open now.
func (h *heldDirs) mayKeep() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	if time.Now().Before(h.until) {
		return 0
	}
	return h.most
}

// yield closes those that no sweep has, as others need the descriptors, and keeps none
// for a while. It reports whether there were any.
func (h *heldDirs) yield() bool {
	h.mu.Lock()
	h.until = time.Now().Add(heldFor)
	some := len(h.free) > 0
	h.mu.Unlock()
	h.drop()
	return some
}

// take gives the directories to a sweep, less those of processes that are not among
// pids any more, which rise. ok is false while another sweep has them.
func (h *heldDirs) take(pids []pidIno) (dirs map[int32]heldDir, ok bool) {
	h.mu.Lock()
	dirs, h.free = h.free, nil
	h.mu.Unlock()
	if dirs == nil {
		return nil, false
	}
	there := 0
	for _, p := range pids {
		if d, ok := dirs[p.pid]; ok && d.ino == p.ino {
			there++
		}
	}
	if there < len(dirs) {
		kept := make(map[int32]heldDir, len(pids))
		for _, p := range pids {
			if d, ok := dirs[p.pid]; ok && d.ino == p.ino {
				kept[p.pid] = d
				delete(dirs, p.pid)
			}
		}
		closeDirs(dirs)
		dirs = kept
	}
	return dirs, true
}

// give takes them back.
func (h *heldDirs) give(dirs map[int32]heldDir) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		closeDirs(dirs)
		return
	}
	h.free = dirs
	if h.idle == nil {
		h.idle = time.AfterFunc(heldFor, h.drop)
	} else {
		h.idle.Reset(heldFor)
	}
}

// drop closes them all.
func (h *heldDirs) drop() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.free != nil {
		closeDirs(h.free)
		clear(h.free)
	}
}

// close closes them all, and what a sweep gives back later.
func (h *heldDirs) close() {
	h.mu.Lock()
	h.closed = true
	if h.idle != nil {
		h.idle.Stop()
	}
	h.mu.Unlock()
	h.drop()
}

func closeDirs(dirs map[int32]heldDir) {
	for _, d := range dirs {
		unix.Close(d.fd)
	}
}
