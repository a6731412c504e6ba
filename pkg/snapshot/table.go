package snapshot

import (
	"encoding/binary"
	"slices"
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

// Table is the processes of a node at one moment. It never changes and may be used
// concurrently.
type Table struct {
	segments [][]byte // the records, those of earlier generations first
	pids     []int32  // rising
	refs     []ref    // where the record of each is
	gens     []uint32 // the generation that brought each record, less epoch
	live     int      // bytes of the records in refs; segments may hold more

	files []string
	forms []formSet // of each file
	names Names
	facts Facts
	// figures are those that came with the answer; nil is none.
	figures *Figures

	sums     []uint64 // of the files that have forms, in a table that a builder made
	skipped  int
	received int
	history
}

// A ref is where a record is: the segment, and the offset in it.
type ref uint32

const (
	refBits     = 28 // of the offset
	maxSegments = 1 << (32 - refBits)
)

func makeRef(segment, offset int) ref { return ref(segment<<refBits | offset) }

// record is the segment from where record i starts.
func (t *Table) record(i int) []byte {
	r := t.refs[i]
	return t.segments[r>>refBits][r&(1<<refBits-1):]
}

// Len is the number of processes.
func (t *Table) Len() int { return len(t.pids) }

// Facts is what the answer says of the node.
func (t *Table) Facts() Facts { return t.facts }

// Figures are the node's own figures, where they were asked for and came with the table; nil is
// none.
func (t *Table) Figures() *Figures { return t.figures }

// Files are the names of the files that were asked for, in the order of the
// request. The caller must not change them.
func (t *Table) Files() []string { return t.files }

// Names are the names in the directories of the node's processes, if the leaf tells.
func (t *Table) Names() Names { return t.names }

// Skipped is how many processes exist on the node that the table does not have, or
// whose stat it does not have, as far as that is known; Facts.Lacks is why. A table
// without them is no word about them.
func (t *Table) Skipped() int { return t.skipped }

// Received is how long the answer was that the table was made of, in bytes.
func (t *Table) Received() int { return t.received }

// Size is the memory that the table holds, in bytes. What it shares with the table
// that it was made of is counted for both.
func (t *Table) Size() int {
	n := 4*cap(t.pids) + 4*cap(t.refs) + 4*cap(t.gens) + 8*cap(t.gone) + 8*cap(t.sums)
	for _, s := range t.segments {
		n += cap(s)
	}
	for _, set := range t.forms {
		for i := range set {
			n += cap(set[i].text) + 2*cap(set[i].lines)
		}
	}
	return n
}

// PID is the pid of process i, 0 <= i < Len().
func (t *Table) PID(i int) int32 { return t.pids[i] }

// PIDs are those of all processes, rising. The caller must not change them.
func (t *Table) PIDs() []int32 { return t.pids }

// ID is Proc(i).ID.
func (t *Table) ID(i int) uint64 { return binary.LittleEndian.Uint64(t.record(i)[4:]) }

// UID is Proc(i).UID.
func (t *Table) UID(i int) uint32 { return binary.LittleEndian.Uint32(t.record(i)[12:]) }

// Proc is process i, 0 <= i < Len().
func (t *Table) Proc(i int) Proc {
	r := t.record(i)[:recordFixed]
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
	return slices.BinarySearch(t.pids, pid)
}

// File is file k of process i, where k is the file's index in Files: its
// content, or the error that reading it gave. The content must not be changed, and
// keeps a part of the table in memory.
func (t *Table) File(i, k int) (content []byte, errno syscall.Errno) {
	raw, f, errno := t.find(i, k)
	if f == nil || errno != 0 {
		return raw, errno
	}
	return f.unpack(make([]byte, 0, f.size(raw)), raw), 0
}

// AppendFile appends what File returns to dst.
func (t *Table) AppendFile(dst []byte, i, k int) (content []byte, errno syscall.Errno) {
	raw, f, errno := t.find(i, k)
	switch {
	case errno != 0:
		return dst, errno
	case f == nil:
		return append(dst, raw...), 0
	}
	return f.unpack(slices.Grow(dst, f.size(raw)), raw), 0
}

// find is file k of process i as it is held, and the form it differs from, nil for
// none.
func (t *Table) find(i, k int) (raw []byte, f *form, errno syscall.Errno) {
	if k < 0 || k >= len(t.files) {
		return nil, nil, syscall.ENOENT
	}
	rest := t.record(i)[recordFixed:]
	for j := 0; ; j++ {
		word := binary.LittleEndian.Uint32(rest)
		rest = rest[4:]
		n := 0
		if word&errnoBit == 0 {
			n = int(word & lengthMask)
		}
		if j < k {
			rest = rest[n:]
			continue
		}
		switch {
		case word&errnoBit != 0:
			return nil, nil, syscall.Errno(word &^ errnoBit)
		case word&formedBit != 0:
			f, raw = t.forms[k].of(rest[:n])
			return raw, f, 0
		}
		return rest[:n:n], nil, 0
	}
}

// recordLen is the length of the record that b begins with, of n files.
func recordLen(b []byte, n int) int {
	at := recordFixed
	for range n {
		word := binary.LittleEndian.Uint32(b[at:])
		if at += 4; word&errnoBit == 0 {
			at += int(word & lengthMask)
		}
	}
	return at
}
