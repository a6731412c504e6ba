package remotecalls

import (
	"bytes"
	"context"
	"os"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/aggrfs/aggrfs/internal/seccomp"
)

// A memory is that of the thread that calls: an open /proc/TID/mem, which stays that memory's
// whoever has the thread's number later. It is the caller's own if the call waited after it was
// opened. Not to be used concurrently.
//
// What is in it can be a file of a mount that does not answer, and the kernel waits for that without
// end. So each access is a goroutine of its own, which the call waits for until its deadline.
type memory struct {
	path     string
	waits    func() bool // reports whether the call waits
	file     *os.File    // nil before it is needed
	ctx      context.Context
	user     uint32 // whose access it is
	accesses *accesses
}

// memoryOf is the memory of a call's thread, which is opened when it is needed.
func memoryOf(ctx context.Context, s *Supervisor, n *seccomp.Notification, who *caller) memory {
	return memory{
		path:  s.cfg.Native + "/" + strconv.FormatUint(uint64(n.TID), 10) + "/mem",
		waits: func() bool { return s.cfg.Listener.Valid(n.ID) },
		ctx:   ctx, user: who.real, accesses: &s.accesses,
	}
}

// userAccesses bounds the accesses for the programs of one user that are under way: each that does not
// end is a thread.
const userAccesses = 16

// accesses are those that are under way.
type accesses struct {
	mu    sync.Mutex
	users map[uint32]int
}

// begin reports whether there may be another one for a user.
func (a *accesses) begin(user uint32) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.users[user] >= userAccesses {
		return false
	}
	if a.users == nil {
		a.users = make(map[uint32]int)
	}
	a.users[user]++
	return true
}

func (a *accesses) end(user uint32) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.users[user]--; a.users[user] == 0 {
		delete(a.users, user)
	}
}

// open opens it; EPERM is that the kernel does not let this process.
func (m *memory) open() unix.Errno {
	if m.file != nil {
		return 0
	}
	f, err := os.OpenFile(m.path, os.O_RDWR, 0)
	if err != nil {
		return unix.EPERM
	}
	if !m.waits() {
		f.Close()
		return unix.EINTR // nobody gets it
	}
	m.file = f
	return 0
}

func (m *memory) close() {
	if m.file != nil {
		m.file.Close()
	}
}

// read fills p with what is at an address.
func (m *memory) read(p []byte, at uint64) unix.Errno {
	own := make([]byte, len(p)) // p is the caller's again at the deadline
	errno := m.access(at, func(f *os.File) (int, error) { return f.ReadAt(own, int64(at)) }, len(p))
	if errno == 0 {
		copy(p, own)
	}
	return errno
}

// write writes p at an address.
func (m *memory) write(p []byte, at uint64) unix.Errno {
	own := bytes.Clone(p)
	return m.access(at, func(f *os.File) (int, error) { return f.WriteAt(own, int64(at)) }, len(p))
}

// access makes an access of that many bytes. EFAULT is that there is not so much, or that it has not
// come in time; EAGAIN that too many wait already.
func (m *memory) access(at uint64, do func(*os.File) (int, error), size int) unix.Errno {
	if errno := m.open(); errno != 0 {
		return errno
	}
	if int64(at) <= 0 {
		return unix.EFAULT
	}
	if !m.accesses.begin(m.user) {
		return unix.EAGAIN
	}
	done := make(chan unix.Errno, 1)
	f := m.file
	go func() {
		defer m.accesses.end(m.user)
		if n, err := do(f); err != nil || n < size {
			done <- unix.EFAULT
			return
		}
		done <- 0
	}()
	select {
	case errno := <-done:
		return errno
	case <-m.ctx.Done():
		return unix.EFAULT
	}
}
