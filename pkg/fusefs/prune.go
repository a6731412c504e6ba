package fusefs

import (
	"sync"
	"syscall"
	"time"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// A pruning is a directory of which a listing has left names out.
type pruning struct {
	dir        *inode
	number, by uint64 // of the listing, see listed

	ended *inode // or an object that the tree says is gone, in place of all that
}

const (
	// maxPrunings is how many directories wait. One that finds no room is
	// noticed again by its next listing.
	maxPrunings = 64
	// patience is how long a question about a directory may have been waiting
	// for its answer if names are to be dropped there.
	patience = 2 * time.Millisecond
)

// A pruner drops names from the kernel's caches.
type pruner struct {
	fs      *fileSystem
	notices notices
	waiting chan pruning
}

func (p *pruner) init(fs *fileSystem, n notices) {
	p.fs, p.notices, p.waiting = fs, n, make(chan pruning, maxPrunings)
}

// prune asks for the names to be dropped that a listing has left out.
func (p *pruner) prune(what pruning) {
	if !p.fs.inodes.anyEnded(what.dir, what.number, what.by) {
		return
	}
	select {
	case p.waiting <- what:
	default:
	}
}

// ended asks for the name of the directory to be dropped in which a file was
// that the tree says is gone: it has been looked up a moment ago, so the directory
// is likely gone, a process's.
func (p *pruner) ended(i *inode, err error) {
	switch vfs.Errno(err) {
	case syscall.ENOENT, syscall.ESRCH:
		select {
		case p.waiting <- pruning{ended: i}:
		default:
		}
	}
}

// run drops names until stop. It is a goroutine of its own, which the server
// waits for: to drop a name, the kernel locks the directory, and waits with
// that until the LOOKUPs and READDIRs that it has asked there are answered. For
// as long as it waits, others wait behind it; so a directory with a question
// that takes long is left for its next listing.
func (p *pruner) run(stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		case what := <-p.waiting:
			p.one(what, stop)
		}
	}
}

func (p *pruner) one(what pruning, stop <-chan struct{}) {
	if what.ended != nil {
		dir := what.ended.parent
		if dir != nil && dir.parent != nil && !p.fs.conn.Slow(dir.parent.id, patience) {
			p.notices.invalEntry(dir.parent.id, dir.name)
		}
		return
	}
	for !p.fs.conn.Slow(what.dir.id, patience) {
		select {
		case <-stop:
			return
		default:
		}
		i := p.fs.inodes.takeEnded(what.dir, what.number, what.by)
		if i == nil {
			return
		}
		p.fs.mode.inUse(func(open *inode) { p.dropBelow(i, open) })
		for _, d := range p.fs.dirs.all() {
			p.dropBelow(i, d.inode)
		}
		p.notices.invalEntry(what.dir.id, i.name)
	}
}

// dropBelow drops the names from that of an open file up to that of i, if it is
// below i: the kernel itself would let a name that is in use stay where i no
// longer is, and keep it from then on.
func (p *pruner) dropBelow(i, open *inode) {
	above := open
	for above != nil && above != i {
		above = above.parent
	}
	if above == nil {
		return
	}
	for ; open != i; open = open.parent {
		if !p.fs.conn.Slow(open.parent.id, patience) {
			p.notices.invalEntry(open.parent.id, open.name)
		}
	}
}

// A listing is how far one open directory has been read.
type listing struct {
	mu      sync.Mutex // guards all; held for no call into the tree
	number  uint64     // 0: not from its start, or with a gap
	reached uint64     // the offset behind all that was answered
}

// resume is called for a request that reads on at offset. The kernel asks again
// for what its caller had no room for, so offsets can go back, but not ahead. It
// returns the listing's number; 0 if it is not whole.
func (l *listing) resume(t *inodes, dir *inode, offset uint64) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case offset == 0:
		l.number, l.reached = t.beginListing(dir), 0
	case offset > l.reached:
		l.number = 0
	}
	return l.number
}

// advance notes that the listing of that number was answered up to reached.
func (l *listing) advance(number, reached uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.number == number {
		l.reached = max(l.reached, reached)
	}
}
