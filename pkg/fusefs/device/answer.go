package device

import (
	"encoding/binary"
	"unsafe"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// outHeaderSize is a struct fuse_out_header, in bytes.
const outHeaderSize = int(unsafe.Sizeof(fuse.OutHeader{}))

// answered reports whether an answer is no error, and has something in it.
func answered(out []byte) bool {
	return len(out) > outHeaderSize && binary.NativeEndian.Uint32(out[4:]) == 0
}

// failed is the errno that an answer says; 0 is that it is none.
func failed(out []byte) unix.Errno {
	if len(out) < outHeaderSize {
		return 0
	}
	return unix.Errno(-int32(binary.NativeEndian.Uint32(out[4:])))
}

// payload is how many bytes an answer can have beside its fixed part.
func payload(in []byte) int {
	switch opcode(in) {
	case OpRead, OpReaddir, OpReaddirplus:
		return int((*fuse.ReadIn)(unsafe.Pointer(unsafe.SliceData(in))).Size) // see check
	}
	return 4096
}

// failure makes the answer that is an error, struct fuse_out_header alone.
func failure(out []byte, unique uint64, errno unix.Errno) int {
	h := fuse.OutHeader{Length: uint32(unsafe.Sizeof(fuse.OutHeader{})), Status: -int32(errno), Unique: unique}
	return copy(out, unsafe.Slice((*byte)(unsafe.Pointer(&h)), h.Length))
}
