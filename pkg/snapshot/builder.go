package snapshot

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"syscall"

	"github.com/aggrfs/aggrfs/internal/procfile"
)

// Builder makes tables, in one buffer that it uses again for the next one. The order
// of calls is Reset, then for each process by rising pid Begin and one of Put, Add
// and Fail for each file, then Table. It is not for concurrent use.
//
// While a record is as the state before has it, nothing of it is copied.
type Builder struct {
	base  *Table // the state before; nil is none
	facts Facts
	files []string
	forms []formSet
	names Names

	buf    []byte // the records that are not base's
	packed []byte // a file as it differs from a form
	pids   []int32
	refs   []ref
	gens   []uint32 // 1: the record is new; 0: it is base's
	// hasForms says of each file whether it is kept as what differs from a form.
	hasForms []bool
	each     int      // how many of the files have forms
	sums     []uint64 // of those, record by record
	gone     []int32
	at       int // the record of base that comes next
	live     int // bytes of the records
	changed  bool
	skipped  int
	why      syscall.Errno // the first of them was
	err      error         // the first misuse, told by Table
	frozen   bool          // it is a part: forms are not added
	from     int32         // the least pid of a part

	// The record begun.
	begun    bool
	fixed    [recordFixed]byte
	missing  int // files that it still lacks
	lastPID  int32
	old      []byte // base's record of the same process, if what came is the same
	oldAt    int    // how much of old that is
	start    int    // where the record is in buf, if it is not the same
	firstSum int    // where its sums start
}

// Reset starts a table about a node for these files. base is the node's table before,
// of which the new one shares what has not changed; nil where there is none.
func (b *Builder) Reset(base *Table, f Facts, files []string) {
	if base != nil && (base.generation == 0 || !slices.Equal(base.files, files)) {
		base = nil
	}
	*b = Builder{base: base, facts: f, files: files, forms: make([]formSet, len(files)),
		buf: b.buf[:0], packed: b.packed[:0], pids: b.pids[:0], refs: b.refs[:0], gens: b.gens[:0], sums: b.sums[:0], gone: b.gone[:0],
		hasForms: b.hasForms[:0]}
	for _, name := range files {
		has := procfile.Process.File(name).Template
		if b.hasForms = append(b.hasForms, has); has {
			b.each++
		}
	}
	if base != nil {
		copy(b.forms, base.forms)
		b.names = base.names
	}
}

// Name says which names the node's processes have in their directories.
func (b *Builder) Name(names Names) { b.names = names }

// Begin starts the record of a process.
func (b *Builder) Begin(p Proc) {
	b.end()
	if p.PID <= b.lastPID {
		b.misused("pid %d after pid %d", p.PID, b.lastPID)
	}
	b.begun, b.missing, b.lastPID, b.firstSum = true, len(b.files), p.PID, len(b.sums)
	le, r := binary.LittleEndian, b.fixed[:]
	le.PutUint32(r, uint32(p.PID))
	le.PutUint64(r[4:], p.ID)
	le.PutUint32(r[12:], p.UID)
	le.PutUint32(r[16:], p.GID)
	le.PutUint32(r[20:], p.Mode)
	le.PutUint32(r[24:], p.Nlink)
	le.PutUint64(r[28:], uint64(p.Mtime))
	le.PutUint32(r[flagsAt:], 0)
	b.Owner(p.FileUID, p.FileGID)
	if p.OwnerReads {
		b.OwnerReads()
	}
	if b.old, b.oldAt = nil, recordFixed; b.base != nil {
		b.skipTo(p.PID)
		if b.at < b.base.Len() && b.base.PID(b.at) == p.PID {
			b.old = b.base.record(b.at)
			return
		}
	}
	b.copyOld()
}

// skipTo notes that the processes of base before that pid are gone.
func (b *Builder) skipTo(pid int32) {
	for ; b.at < b.base.Len() && b.base.PID(b.at) < pid; b.at++ {
		b.gone = append(b.gone, b.base.PID(b.at))
	}
}

// Owner sets FileUID and FileGID of the record begun, for who learns them only
// when a file is open.
func (b *Builder) Owner(uid, gid uint32) {
	binary.LittleEndian.PutUint32(b.fixed[ownerAt:], uid)
	binary.LittleEndian.PutUint32(b.fixed[ownerAt+4:], gid)
}

// OwnerReads sets OwnerReads of the record begun, for who learns it only from its
// files.
func (b *Builder) OwnerReads() { binary.LittleEndian.PutUint32(b.fixed[flagsAt:], flagOwnerReads) }

// copyOld has the record begun differ from base's from here on.
func (b *Builder) copyOld() {
	b.start = len(b.buf)
	if b.old == nil {
		b.buf = append(b.buf, b.fixed[:]...)
		return
	}
	b.buf = append(b.buf, b.old[:b.oldAt]...)
	b.old = nil
}

// end ends the record begun, if any.
func (b *Builder) end() {
	if !b.begun {
		return
	}
	if b.missing != 0 {
		b.misused("pid %d lacks files", b.lastPID)
	}
	b.begun = false
	b.pids = append(b.pids, b.lastPID)
	if b.old != nil && bytes.Equal(b.old[:recordFixed], b.fixed[:]) {
		b.live += b.oldAt
		b.refs, b.gens = append(b.refs, b.base.refs[b.at]), append(b.gens, 0)
		b.at++
		return
	}
	if b.old != nil {
		b.copyOld()
	}
	copy(b.buf[b.start:], b.fixed[:])
	b.live += len(b.buf) - b.start
	b.changed = true
	b.refs, b.gens = append(b.refs, ref(b.start)), append(b.gens, 1)
	if b.base != nil && b.at < b.base.Len() && b.base.PID(b.at) == b.lastPID {
		b.at++
	}
}

// Drop forgets the record begun: its process is gone.
func (b *Builder) Drop() {
	if b.old == nil {
		b.buf = b.buf[:b.start]
	}
	b.begun, b.missing, b.sums = false, 0, b.sums[:b.firstSum]
}

// Room is at least n spare bytes in which the next file's content can be read,
// so that it need not be copied. It holds until the next call.
func (b *Builder) Room(n int) []byte {
	b.buf = slices.Grow(b.buf, 4+n)
	return b.buf[len(b.buf)+4 : cap(b.buf)]
}

// Put makes the first n bytes of what Room returned the next file.
func (b *Builder) Put(n int) {
	at := len(b.buf) + 4
	if content := b.buf[at : at+n]; !b.next() || b.formed(content) || b.same(uint32(n), content) {
		return
	}
	if b.old != nil { // what was read lies where the record must go
		b.packed = append(b.packed[:0], b.buf[at:at+n]...)
		b.add(uint32(n), b.packed)
		return
	}
	b.buf = binary.LittleEndian.AppendUint32(b.buf, uint32(n))
	b.buf = b.buf[:at+n]
}

// Add makes content the next file.
func (b *Builder) Add(content []byte) {
	if b.next() && !b.formed(content) {
		b.add(uint32(len(content)), content)
	}
}

// Fail says that the next file cannot be read, and why.
func (b *Builder) Fail(errno syscall.Errno) {
	if errno == 0 || errno > maxErrno {
		errno = syscall.EIO
	}
	if b.next() {
		if b.hasForms[b.file()] {
			b.sums = append(b.sums, 0)
		}
		b.add(errnoBit|uint32(errno), nil)
	}
}

// next makes sure that the record begun lacks a file, and counts it.
func (b *Builder) next() bool {
	if b.missing == 0 {
		b.misused("pid %d has a file too many", b.lastPID)
		return false
	}
	b.missing--
	return true
}

// file is the index of the file that next has counted.
func (b *Builder) file() int { return len(b.files) - b.missing - 1 }

// same reports whether base's record goes on with that file, and passes over it.
func (b *Builder) same(word uint32, content []byte) bool {
	if b.old == nil {
		return false
	}
	rest := b.old[b.oldAt:]
	if binary.LittleEndian.Uint32(rest) != word || string(rest[4:4+len(content)]) != string(content) {
		return false
	}
	b.oldAt += 4 + len(content)
	return true
}

// add adds a file as it is held.
func (b *Builder) add(word uint32, content []byte) {
	if b.same(word, content) {
		return
	}
	if b.old != nil {
		b.copyOld()
	}
	b.buf = binary.LittleEndian.AppendUint32(b.buf, word)
	b.buf = append(b.buf, content...)
}

// Missing is how many files the record begun still lacks.
func (b *Builder) Missing() int { return b.missing }

// Len is the size of the table so far, in bytes.
func (b *Builder) Len() int { return b.live }

// Cap is the memory that the builder holds, in bytes.
func (b *Builder) Cap() int { return cap(b.buf) + 8*cap(b.refs) }

// Skip counts n processes that exist and that were not visited, or whose stat could
// not be read, for that reason: see [Facts.Lacks].
func (b *Builder) Skip(n int, why syscall.Errno) {
	if b.skipped += n; n > 0 {
		b.Lack(why)
	}
}

// Lack says that there are such processes where nobody knows how many; 0 is none.
func (b *Builder) Lack(why syscall.Errno) {
	if b.why == 0 {
		b.why = why
	}
}

var errMisused = errors.New("snapshot builder misused")

func (b *Builder) misused(format string, args ...any) {
	if b.err == nil {
		b.err = fmt.Errorf("%w: "+format, append([]any{errMisused}, args...)...)
	}
}

// Table is the table that was built. It shares nothing with the builder.
func (b *Builder) Table() (*Table, error) {
	b.end()
	if b.err != nil {
		return nil, b.err
	}
	if b.live >= maxAnswer {
		return nil, syscall.EFBIG
	}
	facts := b.facts
	facts.Lacks = b.why
	t := &Table{
		pids: slices.Clone(b.pids), refs: slices.Clone(b.refs), gens: slices.Clone(b.gens), live: b.live, sums: slices.Clone(b.sums),
		files: b.files, forms: b.forms, names: b.names, facts: facts, skipped: b.skipped,
	}
	if b.base == nil {
		t.segments = [][]byte{bytes.Clone(b.buf)}
		t.begin(newGeneration())
		return t, nil
	}
	b.skipTo(maxPID)
	b.follow(t)
	return t, nil
}

// follow makes t the state after base.
func (b *Builder) follow(t *Table) {
	base, generation := b.base, b.base.generation
	if b.changed || len(b.gone) > 0 {
		generation++
	}
	segment := len(base.segments)
	old := 0
	for i, fresh := range t.gens {
		if fresh == 1 {
			t.refs[i] = makeRef(segment, int(t.refs[i]))
			t.gens[i] = uint32(generation - base.epoch)
			continue
		}
		for base.refs[old] != t.refs[i] {
			old++
		}
		t.gens[i] = base.gens[old]
	}
	for k := range t.forms {
		for j := range t.forms[k] {
			if f := &t.forms[k][j]; f.since == 0 {
				f.since = generation
			}
		}
	}
	t.follow(base, generation, b.gone)
	t.overlay(base, bytes.Clone(b.buf))
}
