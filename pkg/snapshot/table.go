package snapshot

import (
	"encoding/binary"
	"sort"
	"syscall"
)

// Proc is what a snapshot says of a process directory.
type Proc struct {
	PID   int32
	ID    uint64 // the Node.ID of /<pid> in the leaf's main tree
	UID   uint32
	GID   uint32
	Mode  uint32 // see inode(7)
	Nlink uint32
	Mtime int64 // ns since 1970

	// FileUID and FileGID own the files in the directory, which differ from the
	// directory's for a process that is not dumpable; vfs.NoID where that is not
	// known. Directories of mode 0555 in it have the directory's own.
	FileUID, FileGID uint32

	// OwnerReads: a reader who is not root, and whose uid and gid are UID and
	// GID, had ptrace read access to the process when the record was made
	// (PTRACE_MODE_READ_FSCREDS in ptrace(2)). So stat is to that reader what it
	// is to root, and not what MaskStat makes of it. It is false where the leaf is
	// not certain, and where stat or status was not asked for.
	OwnerReads bool
}

// Table is a decoded answer. It never changes and may be used concurrently.
type Table struct {
	body  []byte   // the arena
	offs  []uint32 // where each record starts in body, by rising pid
	files []string
	facts Facts

	skipped    int
	generation uint64
}

// Len is the number of processes.
func (t *Table) Len() int { return len(t.offs) }

// Facts is what the answer says of the node.
func (t *Table) Facts() Facts { return t.facts }

// Files are the names of the files that were asked for, in the order of the
// request. The caller must not change them.
func (t *Table) Files() []string { return t.files }

// Skipped is how many processes exist on the node but are not in the table,
// because the leaf ran out of time.
func (t *Table) Skipped() int { return t.skipped }

// Generation names this state of the node; zero where the leaf keeps none.
func (t *Table) Generation() uint64 { return t.generation }

// Size is the memory that the table holds, in bytes.
func (t *Table) Size() int { return cap(t.body) + 4*cap(t.offs) }

// PID is the pid of process i, 0 <= i < Len().
func (t *Table) PID(i int) int32 {
	return int32(binary.LittleEndian.Uint32(t.body[t.offs[i]:]))
}

// Proc is process i, 0 <= i < Len().
func (t *Table) Proc(i int) Proc {
	r := t.body[t.offs[i]:][:recordFixed]
	return Proc{
		PID:   int32(binary.LittleEndian.Uint32(r)),
		ID:    binary.LittleEndian.Uint64(r[4:]),
		UID:   binary.LittleEndian.Uint32(r[12:]),
		GID:   binary.LittleEndian.Uint32(r[16:]),
		Mode:  binary.LittleEndian.Uint32(r[20:]),
		Nlink: binary.LittleEndian.Uint32(r[24:]),
		Mtime: int64(binary.LittleEndian.Uint64(r[28:])),

		FileUID: binary.LittleEndian.Uint32(r[ownerAt:]),
		FileGID: binary.LittleEndian.Uint32(r[ownerAt+4:]),

		OwnerReads: binary.LittleEndian.Uint32(r[flagsAt:])&flagOwnerReads != 0,
	}
}

// Find is the index of the process of that pid.
func (t *Table) Find(pid int32) (i int, ok bool) {
	i = sort.Search(len(t.offs), func(i int) bool { return t.PID(i) >= pid })
	return i, i < len(t.offs) && t.PID(i) == pid
}

// File is file k of process i, where k is the file's index in Files: its
// content, or the error that reading it gave. The content is part of the
// arena, must not be changed, and keeps the whole table in memory.
func (t *Table) File(i, k int) (content []byte, errno syscall.Errno) {
	if k < 0 || k >= len(t.files) {
		return nil, syscall.ENOENT
	}
	off := t.offs[i] + recordFixed
	for {
		word := binary.LittleEndian.Uint32(t.body[off:])
		off += 4
		switch {
		case k > 0 && word&errnoBit == 0:
			off += word
		case k == 0 && word&errnoBit != 0:
			return nil, syscall.Errno(word &^ errnoBit)
		case k == 0:
			return t.body[off : off+word : off+word], 0
		}
		k--
	}
}
