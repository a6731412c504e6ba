package snapshot

import (
	"encoding/binary"
	"unique"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// A Name is an entry that every process directory, or every thread directory, of a
// node has: they are the same for all processes of one kernel (fs/proc/base.c lists
// them).
type Name struct {
	Name string
	Mode uint32 // type and permissions, see inode(7)
}

// Names are the names in the directories of a node's processes and threads, as they
// are on the wire. They are comparable; the zero value is that they are not known.
type Names struct{ text unique.Handle[string] }

const maxNames = 1024 // in one directory

// NewNames makes Names of the two lists.
func NewNames(process, thread []Name) Names {
	var b []byte
	for _, list := range [][]Name{process, thread} {
		list = list[:min(len(list), maxNames)]
		b = binary.LittleEndian.AppendUint16(b, uint16(len(list)))
		for _, n := range list {
			b = binary.LittleEndian.AppendUint32(b, n.Mode)
			b = appendStr(b, n.Name)
		}
	}
	return Names{unique.Make(string(b))}
}

// Known reports whether there are any.
func (n Names) Known() bool { return n != Names{} && len(n.text.Value()) > len(noNames) }

const noNames = "\x00\x00\x00\x00"

// wire is n as an answer has it.
func (n Names) wire() string {
	if n == (Names{}) {
		return noNames
	}
	return n.text.Value()
}

// Lists are the two lists.
func (n Names) Lists() (process, thread []Name) {
	r := &reader{b: []byte(n.wire())}
	return r.nameList(), r.nameList()
}

// names passes over names and returns them.
func (r *reader) names() Names {
	start := r.off
	r.nameList()
	r.nameList()
	if r.err != nil {
		return Names{}
	}
	return Names{unique.Make(string(r.b[start:r.off]))}
}

func (r *reader) nameList() []Name {
	n := r.u16()
	if n > maxNames {
		r.fail("%d names, at most %d are allowed", n, maxNames)
	}
	var list []Name
	for i := 0; i < n && r.err == nil; i++ {
		mode, name := r.u32(), r.str()
		if r.err == nil && !vfs.ValidName(name) {
			r.fail("bad name %q", name)
		}
		list = append(list, Name{name, mode})
	}
	return list
}
