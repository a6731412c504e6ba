package proctable

import (
	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/aggrfs/aggrfs/pkg/snapshot"
)

// Names are the names that every process directory of a node has, and
// every thread directory: they are the same for all processes of one kernel
// (fs/proc/base.c lists them), so that a name that is not among them need not
// be asked for, and one that is need not be asked whether it exists.
type Names struct {
	Process, Thread map[string]uint32 // mode: type and permissions
}

// nameLists are the names of all nodes, of which most are equal.
type nameLists struct {
	all *lru.Cache[snapshot.Names, *Names]
}

// maxNameLists is how many different ones are remembered.
const maxNameLists = 256

func newNameLists() *nameLists { return &nameLists{newLRU[snapshot.Names, *Names](maxNameLists)} }

// of is those names; nil where they are not known.
func (l *nameLists) of(names snapshot.Names) *Names {
	if !names.Known() {
		return nil
	}
	if n, ok := l.all.Get(names); ok {
		return n
	}
	process, thread := names.Lists()
	n := &Names{Process: modes(process), Thread: modes(thread)}
	l.all.Add(names, n)
	return n
}

func modes(list []snapshot.Name) map[string]uint32 {
	m := make(map[string]uint32, len(list))
	for _, n := range list {
		m[n.Name] = n.Mode
	}
	return m
}
