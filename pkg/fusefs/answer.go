package fusefs

import (
	"encoding/binary"
	"errors"
	"unsafe"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// answer writes an answer and reports whether the kernel took it.
func (s *Server) answer(h *fuse.InHeader, out []byte) bool {
	err := s.dev.write(out)
	if err == nil {
		return true
	}
	// ENOENT: the kernel no longer waits, as in an unmount. It says so too where
	// nothing is lost by it (RELEASE).
	if !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENODEV) && !errors.Is(err, unix.EPERM) {
		s.cfg.Log.Warn("the kernel refuses an answer", "opcode", h.Opcode, "err", err)
	}
	return false
}

// payload is how many bytes an answer can have beside its fixed part.
func payload(in []byte) int {
	switch opcode(in) {
	case opRead, opReaddir, opReaddirplus:
		if len(in) >= int(unsafe.Sizeof(fuse.ReadIn{})) {
			return int((*fuse.ReadIn)(unsafe.Pointer(unsafe.SliceData(in))).Size)
		}
	}
	return 4096 // extended attributes are not served; go-fuse decides by the size asked for
}

// failure makes the answer that is an error, struct fuse_out_header alone.
func failure(out []byte, unique uint64, errno unix.Errno) int {
	h := fuse.OutHeader{Length: uint32(unsafe.Sizeof(fuse.OutHeader{})), Status: -int32(errno), Unique: unique}
	return copy(out, unsafe.Slice((*byte)(unsafe.Pointer(&h)), h.Length))
}

// takeBack undoes an answer that the kernel did not get: the references and
// open files in it are known to nobody.
func (s *Server) takeBack(op uint32, out []byte) {
	const header = int(unsafe.Sizeof(fuse.OutHeader{}))
	if len(out) <= header || binary.NativeEndian.Uint32(out[4:]) != 0 {
		return
	}
	body := out[header:]
	switch op {
	case opLookup:
		if e := (*fuse.EntryOut)(unsafe.Pointer(&body[0])); e.NodeId != 0 {
			s.fs.Forget(e.NodeId, 1)
		}
	case opReaddirplus:
		if _, entries, err := fuse.ParseDirLookupEntries(body); err == nil {
			for _, e := range entries {
				if e.NodeId != 0 {
					s.fs.Forget(e.NodeId, 1)
				}
			}
		}
	case opOpen:
		s.fs.closeFile((*fuse.OpenOut)(unsafe.Pointer(&body[0])).Fh)
	case opOpendir:
		s.fs.closeDir((*fuse.OpenOut)(unsafe.Pointer(&body[0])).Fh)
	}
}
