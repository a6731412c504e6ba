// Package dirents reads directories by getdents64(2), for who needs the inode numbers that the
// kernel gives with the names, and nothing else of them.
package dirents

import (
	"encoding/binary"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

// An Entry is one entry of a directory.
type Entry struct {
	Ino  uint64
	Type byte   // DT_*
	Name []byte // part of what was read
	At   int    // where the name starts in it
}

// fixed is the size of struct linux_dirent64 before its name, in bytes.
const fixed = 19

// All are the entries in what [Read] returned, in the kernel's order, "." and ".." among them.
func All(raw []byte) func(yield func(Entry) bool) {
	return func(yield func(Entry) bool) {
		for off := 0; len(raw)-off > fixed; {
			p := raw[off:]
			size := int(binary.NativeEndian.Uint16(p[16:]))
			if size <= fixed || size > len(p) {
				return
			}
			name := p[fixed:size]
			if i := slices.Index(name, 0); i >= 0 {
				name = name[:i]
			}
			if !yield(Entry{binary.NativeEndian.Uint64(p), p[18], name, off + fixed}) {
				return
			}
			off += size
		}
	}
}

// Read appends all entries of the directory open as fd to buf, which may grow to most bytes:
// EFBIG is that there are more.
func Read(fd int, buf []byte, most int) ([]byte, error) {
	const room = 32 << 10
	for {
		buf = slices.Grow(buf, room)
		n, err := unix.Getdents(fd, buf[len(buf):cap(buf)])
		if err == unix.EINTR {
			continue
		}
		if err != nil || n == 0 {
			return buf, err
		}
		if buf = buf[:len(buf)+n]; len(buf) > most {
			return buf, syscall.EFBIG
		}
	}
}
