package fusefs

import (
	"context"
	"math"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// A fileInode is who has a file's inode open, and which size of it the kernel may believe in.
//
// What read(2) gets is direct I/O: the kernel asks for each, and no size bounds it. But splice(2),
// sendfile(2) and mmap(2) go through the inode's pages all the same (since Linux 6.5;
// fuse_splice_read in fs/fuse/file.c), one set for all who have the inode open, and as far as
// the size that the kernel believes in. So that all get the same bytes:
//
//   - Each open file has an inode of its own. A name that is looked up gets another inode if
//     somebody has the one open that it had, or another thread was told of it a moment ago.
//   - A LOOKUP says that a file is longer than any can be. The first page that is not full shows
//     the kernel where it ends (fuse_short_read there). That holds if pages are asked for one
//     after another, so there is no readahead (device.Config.NoReadahead).
//   - GETATTR says the true size: of an open file that of its content, of any other what the tree
//     says, which is 0 for most files of a procfs.
//   - An OPEN is answered ESTALE if the inode is open already, or the kernel may believe in
//     another size than the content's. The kernel then looks the path up once more, see
//     do_filp_open in fs/namei.c. Who comes by a path gets an inode that nobody else is let in to
//     meanwhile; who comes again to this one, by a link in /proc/self/fd, is let in.
type fileInode struct {
	mu      sync.Mutex
	open    *openFile // the newest of those who have it open; all that follows is guarded by mu
	opens   int
	size    uint64    // unknownSize, or what else the kernel may believe in; noSize: several
	by      uint32    // the thread that has asked about it last; 0 is none that is known
	at      time.Time // when
	held    bool      // for that thread, which comes again after ESTALE
	refused bool      // an OPEN was answered ESTALE since the last LOOKUP,
	whom    uint32    // of this thread
	perm    uint32    // the file's mode
}

const (
	// unknownSize is what a LOOKUP says.
	unknownSize = 1 << 60
	// noSize is no size of a file.
	noSize = math.MaxUint64
	// lookTime is for how long a thread that has looked a file up may be about to open it.
	lookTime = time.Second
	// maxLoaded is how long a file is that is read to its end to tell its size, in bytes.
	maxLoaded = 32 << 20
)

var pageSize = uint64(os.Getpagesize())

func newFileInode() *fileInode { return &fileInode{size: unknownSize} }

// look reports whether a LOOKUP by that thread may name the inode; then it says unknownSize.
// again is whether the thread was answered ESTALE: then the inode is held for it.
func (s *fileInode) look(thread, perm uint32, again bool) bool {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.busyLocked(thread, now) {
		return false
	}
	s.size, s.by, s.at, s.held, s.refused, s.perm = unknownSize, thread, now, again, false, perm
	return true
}

// busy reports whether look would say no.
func (s *fileInode) busy(thread uint32) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.busyLocked(thread, time.Now())
}

func (s *fileInode) busyLocked(thread uint32, now time.Time) bool {
	return s.opens > 0 || s.othersLocked(thread, now)
}

// othersLocked reports whether another thread has asked about the inode a moment ago.
func (s *fileInode) othersLocked(thread uint32, now time.Time) bool {
	return s.by != 0 && s.by != thread && now.Sub(s.at) < lookTime
}

// begin reports whether an OPEN of the file by that thread may succeed, before the tree is asked: ESTALE
// is that it may not.
func (s *fileInode) begin(thread uint32, file vfs.File) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	fits := s.size == unknownSize
	if !fits && s.size != 0 {
		size := uint64(0)
		if p, ok := file.(vfs.Previewer); ok { // which may be what a table has, and costs no exchange
			size = p.Preview().Size
		}
		fits = size == 0 || s.size == size
	}
	return s.letLocked(thread, fits, true)
}

// letLocked lets a thread in whose content fits, or that comes again.
func (s *fileInode) letLocked(thread uint32, fits, mayShare bool) error {
	others := s.held && s.othersLocked(thread, time.Now())
	if s.opens == 0 && fits && !others || s.refused && s.whom == thread && mayShare {
		return nil
	}
	s.refused, s.whom = true, thread
	return syscall.ESTALE
}

// add has f have the inode open, or is ESTALE.
func (s *fileInode) add(thread uint32, f *openFile) error {
	size, known := f.now.length()
	s.mu.Lock()
	defer s.mu.Unlock()
	fits := s.size == unknownSize || known && s.size == size
	if err := s.letLocked(thread, fits, s.open == nil || s.open.viewer == f.viewer); err != nil {
		return err
	}
	s.open, s.held, f.thread = f, false, thread
	s.opens++
	return nil
}

// remove ends what add has begun.
func (s *fileInode) remove(f *openFile) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.opens--
	if s.open == f {
		s.open = nil
	}
	if s.opens == 0 && s.by == f.thread {
		s.by = 0 // it has had what it asked about
	}
}

// tell notes that the kernel may believe in a size.
func (s *fileInode) tell(size uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tellLocked(size)
}

func (s *fileInode) tellLocked(size uint64) {
	switch s.size {
	case unknownSize:
		s.size = size
	case size:
	default:
		s.size = noSize
	}
}

// answered notes the answer to a READ: one for a page that it does not fill shows the kernel the
// size. Others cannot be told from it.
func (s *fileInode) answered(offset uint64, asked, got int) {
	if got < asked && offset%pageSize == 0 && uint64(asked)%pageSize == 0 {
		s.tell(offset + uint64(got))
	}
}

// attr is the size that a GETATTR of that thread says, where the tree says size.
func (s *fileInode) attr(ctx context.Context, thread uint32, size uint64) uint64 {
	for {
		f := s.opened()
		answer := size
		if f != nil {
			answer = f.size(ctx, size)
		}
		s.mu.Lock()
		if s.open == f {
			s.tellLocked(answer)
			s.by, s.at = thread, time.Now()
			s.mu.Unlock()
			return answer
		}
		s.mu.Unlock() // it was opened or closed meanwhile
	}
}

// opened is who has the inode open; nil is nobody.
func (s *fileInode) opened() *openFile {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.open
}

// mode is the file's, as it was looked up last.
func (s *fileInode) mode() uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.perm
}

// isOpen reports whether somebody has the inode open.
func (s *fileInode) isOpen() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.opens > 0
}

// A retry is the threads that have been answered ESTALE a moment ago.
type retry struct {
	some atomic.Bool // there may be some

	mu  sync.Mutex
	all map[uint32]time.Time // guarded by mu
}

// maxRetry is how many threads are remembered.
const maxRetry = 1024

// add notes a thread.
func (r *retry) add(thread uint32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.all == nil || len(r.all) >= maxRetry {
		r.all = make(map[uint32]time.Time)
	}
	r.all[thread] = time.Now()
	r.some.Store(true)
}

// has reports whether a thread was noted.
func (r *retry) has(thread uint32) bool {
	if !r.some.Load() {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return time.Since(r.all[thread]) < lookTime
}

// remove forgets a thread.
func (r *retry) remove(thread uint32) {
	if !r.some.Load() {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.all, thread)
	r.some.Store(len(r.all) > 0)
}
