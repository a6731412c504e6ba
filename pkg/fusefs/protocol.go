package fusefs

import (
	"encoding/binary"
	"log/slog"
	"unsafe"

	"github.com/aggrfs/aggrfs/pkg/vfs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// The opcodes that the loop itself has to know, see linux/fuse.h. go-fuse knows
// the rest.
const (
	opLookup      = 1
	opForget      = 2
	opOpen        = 14
	opRead        = 15
	opRelease     = 18
	opInit        = 26
	opOpendir     = 27
	opReaddir     = 28
	opReleasedir  = 29
	opInterrupt   = 36
	opBatchForget = 42
	opReaddirplus = 44
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
)

// opcode is what a request asks for; 0 if it is cut short.
func opcode(in []byte) uint32 {
	if len(in) < headerSize {
		return 0
	}
	return binary.NativeEndian.Uint32(in[4:])
}

// lockedDir is the node id of the directory that the kernel keeps locked until
// a request is answered; 0 if there is none.
func lockedDir(h *fuse.InHeader) uint64 {
	switch h.Opcode {
	case opLookup, opReaddir, opReaddirplus:
		return h.NodeId
	}
	return 0
}

// newProtocol is go-fuse's decoder and encoder around fs.
func newProtocol(fs *fileSystem, log *slog.Logger) *fuse.ProtocolServer {
	return fuse.NewProtocolServer(fs, &fuse.MountOptions{
		MaxWrite:      maxWrite,
		DisableXAttrs: true,
		// The page cache is ours to invalidate (pages.go), and answers are as
		// long as the kernel likes without MAX_PAGES: 32 pages.
		DisabledCapabilities: fuse.CAP_AUTO_INVAL_DATA | fuse.CAP_MAX_PAGES | fuse.CAP_PASSTHROUGH,
		Logger:               slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		PanicHandler: func(v any) fuse.Status {
			log.Error("a call into the tree panicked", "panic", v)
			return fuse.EIO
		},
	})
}

// statusOf is the answer to an error of the tree.
func statusOf(err error) fuse.Status { return fuse.Status(vfs.Errno(err)) }
