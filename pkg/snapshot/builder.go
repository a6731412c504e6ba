package snapshot

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"syscall"
)

// Builder makes tables, in one buffer that it uses again for the next one. The order
// of calls is Reset, then for each process by rising pid Begin and one of Put, Add
// and Fail for each file, then Table. It is not for concurrent use.
type Builder struct {
	base  *Table // the state before; nil is none
	facts Facts
	files []string
	forms []formSet
	names Names

	buf     []byte // the records that are not base's
	packed  []byte // a file as it differs from a form
	refs    []ref
	gens    []uint32 // 1: the record is new; 0: it is base's
	gone    []int32
	at      int // the record of base that comes next
	live    int // bytes of the records
	changed bool

	skipped int
	begun   int // offset of the record begun, in buf; -1 is none
	missing int // files that the record begun still lacks
	lastPID int32
	err     error // the first misuse, told by Table
}

// Reset starts a table about a node for these files. base is the node's table before,
// of which the new one shares what has not changed; nil where there is none.
func (b *Builder) Reset(base *Table, f Facts, files []string) {
	if base != nil && (base.generation == 0 || !slices.Equal(base.files, files)) {
		base = nil
	}
	*b = Builder{base: base, facts: f, files: files, forms: make([]formSet, len(files)), begun: -1,
		buf: b.buf[:0], packed: b.packed[:0], refs: b.refs[:0], gens: b.gens[:0], gone: b.gone[:0]}
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
	b.begun, b.missing, b.lastPID = len(b.buf), len(b.files), p.PID
	b.buf = binary.LittleEndian.AppendUint32(b.buf, uint32(p.PID))
	b.buf = binary.LittleEndian.AppendUint64(b.buf, p.ID)
	b.buf = binary.LittleEndian.AppendUint32(b.buf, p.UID)
	b.buf = binary.LittleEndian.AppendUint32(b.buf, p.GID)
	b.buf = binary.LittleEndian.AppendUint32(b.buf, p.Mode)
	b.buf = binary.LittleEndian.AppendUint32(b.buf, p.Nlink)
	b.buf = binary.LittleEndian.AppendUint64(b.buf, uint64(p.Mtime))
	b.buf = binary.LittleEndian.AppendUint32(b.buf, p.FileUID)
	b.buf = binary.LittleEndian.AppendUint32(b.buf, p.FileGID)
	var flags uint32
	if p.OwnerReads {
		flags = flagOwnerReads
	}
	b.buf = binary.LittleEndian.AppendUint32(b.buf, flags)
}

// end ends the record begun, if any: one that base has too is not kept twice.
func (b *Builder) end() {
	if b.begun < 0 {
		return
	}
	if b.missing != 0 {
		b.misused("pid %d lacks files", b.lastPID)
	}
	record := b.buf[b.begun:]
	b.live += len(record)
	if b.base != nil {
		b.skipTo(b.lastPID)
		if t := b.base; b.at < t.Len() && t.PID(b.at) == b.lastPID {
			r := t.record(b.at)
			b.at++
			if bytes.HasPrefix(r, record) { // it ends where the record does: their lengths are in them
				b.refs, b.gens = append(b.refs, t.refs[b.at-1]), append(b.gens, 0)
				b.buf = b.buf[:b.begun]
				b.begun = -1
				return
			}
		}
	}
	b.changed = true
	b.refs, b.gens = append(b.refs, ref(b.begun)), append(b.gens, 1)
	b.begun = -1
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
	at := b.begun + ownerAt
	binary.LittleEndian.PutUint32(b.buf[at:], uid)
	binary.LittleEndian.PutUint32(b.buf[at+4:], gid)
}

// OwnerReads sets OwnerReads of the record begun, for who learns it only from its
// files.
func (b *Builder) OwnerReads() {
	binary.LittleEndian.PutUint32(b.buf[b.begun+flagsAt:], flagOwnerReads)
}

// Drop forgets the record begun: its process is gone.
func (b *Builder) Drop() {
	b.buf = b.buf[:b.begun]
	b.begun, b.missing = -1, 0
}

// Room is at least n spare bytes in which the next file's content can be read,
// so that it need not be copied. It holds until the next call.
func (b *Builder) Room(n int) []byte {
	b.buf = slices.Grow(b.buf, 4+n)
	return b.buf[len(b.buf)+4 : cap(b.buf)]
}

// Put makes the first n bytes of what Room returned the next file.
func (b *Builder) Put(n int) {
	if at := len(b.buf) + 4; b.form(b.buf[at : at+n]) {
		return
	}
	b.next(uint32(n))
	b.buf = b.buf[:len(b.buf)+n]
}

// Add makes content the next file.
func (b *Builder) Add(content []byte) {
	if b.form(content) {
		return
	}
	b.next(uint32(len(content)))
	b.buf = append(b.buf, content...)
}

// form makes content the next file as it differs from a form, if there is one, or
// it can be one.
func (b *Builder) form(content []byte) bool {
	if b.missing == 0 {
		return false
	}
	k := len(b.files) - b.missing
	if !formedFiles[b.files[k]] {
		return false
	}
	set := b.forms[k]
	lines := bytes.Count(content, newline)
	packed, ok := set.pack(b.packed[:0], content, lines)
	if !ok && len(set) < maxForms && !slices.ContainsFunc(set, func(f form) bool { return f.count() == lines }) {
		if f, good := newForm(bytes.Clone(content)); good {
			b.forms[k] = append(slices.Clip(set), f)
			packed, ok = b.forms[k].pack(packed[:0], content, lines)
		}
	}
	if b.packed = packed; !ok {
		return false
	}
	b.next(formedBit | uint32(len(packed)))
	b.buf = append(b.buf, packed...)
	return true
}

// Fail says that the next file cannot be read, and why.
func (b *Builder) Fail(errno syscall.Errno) {
	if errno == 0 || errno > maxErrno {
		errno = syscall.EIO
	}
	b.next(errnoBit | uint32(errno))
}

func (b *Builder) next(word uint32) {
	if b.missing == 0 {
		b.misused("pid %d has a file too many", b.lastPID)
		return
	}
	b.missing--
	b.buf = binary.LittleEndian.AppendUint32(b.buf, word)
}

// Missing is how many files the record begun still lacks.
func (b *Builder) Missing() int { return b.missing }

// Len is the size of the table so far, in bytes.
func (b *Builder) Len() int { return b.live }

// Cap is the memory that the builder holds, in bytes.
func (b *Builder) Cap() int { return cap(b.buf) + 8*cap(b.refs) }

// Skip counts n processes that exist but were not visited.
func (b *Builder) Skip(n int) { b.skipped += n }

// Table is the table that was built. It shares nothing with the builder.
func (b *Builder) Table() (*Table, error) {
	b.end()
	if b.err != nil {
		return nil, b.err
	}
	if b.live >= maxAnswer {
		return nil, syscall.EFBIG
	}
	t := &Table{
		refs: slices.Clone(b.refs), gens: slices.Clone(b.gens), live: b.live,
		files: b.files, forms: b.forms, names: b.names, facts: b.facts, skipped: b.skipped,
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

var errMisused = errors.New("snapshot builder misused")

func (b *Builder) misused(format string, args ...any) {
	if b.err == nil {
		b.err = fmt.Errorf("%w: "+format, append([]any{errMisused}, args...)...)
	}
}
