package remotecalls

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/aggrfs/aggrfs/internal/seccomp"
)

// A memory is that of the thread that calls: an open /proc/TID/mem, which stays that memory's
// whoever has the thread's number later. It is the caller's own if the call waited after it was
// opened. Not to be used concurrently.
type memory struct {
	path  string
	waits func() bool // reports whether the call waits
	file  *os.File    // nil before it is needed
}

// memoryOf is the memory of a call's thread, which is opened when it is needed.
func memoryOf(s *Supervisor, n *seccomp.Notification) memory {
	return memory{
		path:  s.cfg.Native + "/" + strconv.FormatUint(uint64(n.TID), 10) + "/mem",
		waits: func() bool { return s.cfg.Listener.Valid(n.ID) },
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
	if errno := m.open(); errno != 0 {
		return errno
	}
	if int64(at) <= 0 {
		return unix.EFAULT
	}
	if n, err := m.file.ReadAt(p, int64(at)); err != nil || n < len(p) {
		return unix.EFAULT
	}
	return 0
}

// write writes p at an address.
func (m *memory) write(p []byte, at uint64) unix.Errno {
	if errno := m.open(); errno != 0 {
		return errno
	}
	if int64(at) <= 0 {
		return unix.EFAULT
	}
	if n, err := m.file.WriteAt(p, int64(at)); err != nil || n < len(p) {
		return unix.EFAULT
	}
	return 0
}
