package device

import (
	"bytes"
	"encoding/binary"
	"log/slog"
	"os"
	"unsafe"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// Opcodes of requests, see linux/fuse.h.
const (
	OpLookup      = 1
	OpForget      = 2
	OpGetattr     = 3
	opReadlink    = 5
	OpOpen        = 14
	OpRead        = 15
	opStatfs      = 17
	OpRelease     = 18
	opInit        = 26
	OpOpendir     = 27
	OpReaddir     = 28
	OpReleasedir  = 29
	opAccess      = 34
	OpInterrupt   = 36
	opDestroy     = 38
	OpBatchForget = 42
	OpReaddirplus = 44
	opcodes       = 64 // more than there are
)

const (
	// headerSize is a struct fuse_in_header, in bytes.
	headerSize = int(unsafe.Sizeof(fuse.InHeader{}))
	// requestSize is the longest request in bytes: FUSE_MIN_READ_BUFFER, since
	// nobody writes more than maxWrite to a read-only mount.
	requestSize = 8192
	maxWrite    = 4096
	// answerSize is the longest answer without a payload, in bytes.
	answerSize = 512
	// initSize is the oldest struct fuse_init_in, in bytes.
	initSize = 16
	// forgetSize is a struct fuse_forget_one, in bytes.
	forgetSize = 16
)

// maxPayload is the longest payload that is asked for, in bytes: without MAX_PAGES the
// kernel asks for 32 pages at most.
var maxPayload = uint32(32 * os.Getpagesize())

// opcode is what a request asks for; 0 if it is cut short.
func opcode(in []byte) uint32 {
	if len(in) < headerSize {
		return 0
	}
	return binary.NativeEndian.Uint32(in[4:])
}

// bodies are the requests that are served, with the size of what follows the header. What
// is not here is answered ENOSYS, after which the kernel stops asking (FLUSH, FSYNC, LSEEK,
// POLL, extended attributes, all that makes a change).
var bodies = [opcodes]struct {
	served bool
	size   uintptr // of the whole request but what may follow (below)
}{
	OpLookup:      {true, unsafe.Sizeof(fuse.InHeader{})}, // and a name
	OpForget:      {true, unsafe.Sizeof(fuse.ForgetIn{})},
	OpGetattr:     {true, unsafe.Sizeof(fuse.GetAttrIn{})},
	opReadlink:    {true, unsafe.Sizeof(fuse.InHeader{})},
	OpOpen:        {true, unsafe.Sizeof(fuse.OpenIn{})},
	OpRead:        {true, unsafe.Sizeof(fuse.ReadIn{})},
	opStatfs:      {true, unsafe.Sizeof(fuse.InHeader{})},
	OpRelease:     {true, unsafe.Sizeof(fuse.ReleaseIn{})},
	opInit:        {true, unsafe.Sizeof(fuse.InHeader{}) + initSize}, // and what newer kernels have
	OpOpendir:     {true, unsafe.Sizeof(fuse.OpenIn{})},
	OpReaddir:     {true, unsafe.Sizeof(fuse.ReadIn{})},
	OpReleasedir:  {true, unsafe.Sizeof(fuse.ReleaseIn{})},
	opAccess:      {true, unsafe.Sizeof(fuse.AccessIn{})},
	OpInterrupt:   {true, unsafe.Sizeof(fuse.InterruptIn{})},
	opDestroy:     {true, unsafe.Sizeof(fuse.InHeader{})},
	OpBatchForget: {true, unsafe.Sizeof(fuse.InHeader{}) + 8}, // and one after another
	OpReaddirplus: {true, unsafe.Sizeof(fuse.ReadIn{})},
}

// check says what is wrong with a request; 0 if it is one that can be carried out. What
// passes is as long as it says and as its opcode must be, its name ends where it does, and
// it asks for no more than a kernel would. greeted is whether the INIT has come.
func check(in []byte, greeted bool) unix.Errno {
	if len(in) < headerSize {
		return unix.EINVAL
	}
	h := (*fuse.InHeader)(unsafe.Pointer(unsafe.SliceData(in)))
	switch {
	case int(h.Length) != len(in) || h.TotalExtlen != 0: // extensions are not negotiated
		return unix.EINVAL
	case h.Opcode >= opcodes || !bodies[h.Opcode].served:
		return unix.ENOSYS
	case (h.Opcode == opInit) == greeted:
		return unix.EIO
	}
	size := int(bodies[h.Opcode].size)
	if len(in) < size {
		return unix.EINVAL
	}
	rest := in[size:]
	switch h.Opcode {
	case OpLookup:
		if len(rest) == 0 || bytes.IndexByte(rest, 0) != len(rest)-1 {
			return unix.EINVAL
		}
	case OpBatchForget:
		if count := binary.NativeEndian.Uint32(in[headerSize:]); uint64(len(rest)) != uint64(count)*forgetSize {
			return unix.EINVAL
		}
	case OpRead, OpReaddir, OpReaddirplus:
		if (*fuse.ReadIn)(unsafe.Pointer(h)).Size > maxPayload || len(rest) != 0 {
			return unix.EINVAL
		}
	case opInit:
	default:
		if len(rest) != 0 {
			return unix.EINVAL
		}
	}
	return 0
}

// checkInit reports what is wrong with a recorded INIT request.
func checkInit(in []byte) error {
	if opcode(in) != opInit {
		return os.NewSyscallError("the recorded INIT request of the mount", unix.EINVAL)
	}
	if errno := check(in, false); errno != 0 {
		return os.NewSyscallError("the recorded INIT request of the mount", errno)
	}
	return nil
}

// lockedDir is the node id of the directory that the kernel keeps locked until
// a request is answered; 0 if there is none.
func lockedDir(h *fuse.InHeader) uint64 {
	switch h.Opcode {
	case OpLookup, OpReaddir, OpReaddirplus:
		return h.NodeId
	}
	return 0
}

// newProtocol is go-fuse's decoder and encoder around h.
func newProtocol(h Handler, cfg Config) *fuse.ProtocolServer {
	readahead := 0 // as much as the kernel likes
	if cfg.NoReadahead {
		readahead = 1 // byte: less than a page is none
	}
	return fuse.NewProtocolServer(h, &fuse.MountOptions{
		MaxWrite:      maxWrite,
		MaxReadAhead:  readahead,
		DisableXAttrs: true,
		// The page cache is the handler's to invalidate, and answers are as
		// long as the kernel likes without MAX_PAGES: 32 pages.
		DisabledCapabilities: fuse.CAP_AUTO_INVAL_DATA | fuse.CAP_MAX_PAGES | fuse.CAP_PASSTHROUGH,
		Logger:               slog.NewLogLogger(cfg.Log.Handler(), slog.LevelDebug),
		PanicHandler: func(v any) fuse.Status {
			cfg.Log.Error("a call into the tree panicked", "panic", v)
			return fuse.EIO
		},
	})
}
