package nsexec_test

import (
	"bytes"
	"encoding/binary"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// A tree of three names is all that these tests need, so it is spoken bare, as
// linux/fuse.h has it: "tree" says so, reading "stuck" is never answered, and
// "self" is a link into the native procfs (the race detector's runtime wants
// /proc/self/maps).
const treeText = "the tree\n"

const (
	rootID = 1 + iota
	treeID
	stuckID
	selfID
)

// serveTree answers the kernel until the connection has gone.
func serveTree(dev int, native string) {
	buf := make([]byte, 1<<20)
	for {
		n, err := syscall.Read(dev, buf)
		if err == syscall.EINTR || err == syscall.ENOENT {
			continue
		}
		if err != nil {
			return
		}
		answer(dev, native, buf[:n])
	}
}

func answer(dev int, native string, req []byte) {
	opcode := binary.LittleEndian.Uint32(req[4:])
	node := binary.LittleEndian.Uint64(req[16:])
	var body []any
	var errno syscall.Errno
	switch opcode {
	case 2, 36, 42: // FORGET, INTERRUPT, BATCH_FORGET take no answer
		return
	case 1: // LOOKUP
		switch strings.TrimRight(string(req[40:]), "\x00") {
		case "tree":
			body = entry(treeID)
		case "stuck":
			body = entry(stuckID)
		case "self":
			body = entry(selfID)
		default:
			errno = syscall.ENOENT
		}
	case 3: // GETATTR
		body = append([]any{uint64(0), uint64(0)}, attr(node)...)
	case 5: // READLINK
		body = []any{[]byte(native + "/self")}
	case 14, 27: // OPEN, OPENDIR: no page cache
		body = []any{uint64(0), uint32(1), uint32(0)}
	case 15: // READ
		if node == stuckID {
			return
		}
		if off := binary.LittleEndian.Uint64(req[48:]); off == 0 {
			body = []any{[]byte(treeText)}
		}
	case 26: // INIT, minor 31
		body = []any{uint32(7), uint32(31), uint32(1 << 16), uint32(0), uint16(12), uint16(9), uint32(1 << 16), uint32(1), make([]byte, 36)}
	case 18, 25, 28, 29, 38: // RELEASE, FLUSH, READDIR, RELEASEDIR, DESTROY: done, and the end
	default:
		errno = syscall.ENOSYS
	}
	var out bytes.Buffer
	for _, v := range append([]any{uint32(0), int32(-errno), binary.LittleEndian.Uint64(req[8:])}, body...) {
		binary.Write(&out, binary.LittleEndian, v)
	}
	binary.LittleEndian.PutUint32(out.Bytes(), uint32(out.Len()))
	syscall.Write(dev, out.Bytes())
}

func entry(id uint64) []any {
	return append([]any{id, uint64(0), uint64(0), uint64(0), uint64(0)}, attr(id)...)
}

func attr(id uint64) []any {
	mode := uint32(unix.S_IFREG | 0o444)
	switch id {
	case rootID:
		mode = unix.S_IFDIR | 0o555
	case selfID:
		mode = unix.S_IFLNK | 0o777
	}
	return []any{id, make([]byte, 5*8+3*4), mode, uint32(1), make([]byte, 5*4)}
}

// openDevice opens /dev/fuse.
func openDevice() (*os.File, error) {
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "/dev/fuse"), nil
}
