package gpid

import (
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// The modes of gpids, see the package comment.
const (
	Fixed = "fixed"
	Paged = "paged"
)

// A Numbering makes the gpids of a cluster. The zero Numbering is that of a head node
// alone. It may be used concurrently, and to look a number up takes no lock.
type Numbering struct {
	indexes map[NodeName]int
	pages   *pages // nil is that gpids are fixed
	relayed bool   // pids are gpids of another front end
}

// Open numbers nodes, which are those besides the head node, as the state file at path
// has it, and keeps it there. A file that does not exist yet is made. One that cannot be
// understood, or is of another mode, is an error, since to go on without it would move
// gpids; so is a journal of pages that another process has open. A head node alone needs
// no file, whatever the mode.
func Open(path, mode string, nodes []NodeName) (*Numbering, error) {
	if len(nodes) == 0 {
		return &Numbering{}, nil
	}
	s, err := loadState(path, mode)
	if err != nil {
		return nil, err
	}
	changed, err := s.deal(nodes)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("state file: %w", err)
	}
	if changed {
		if err := s.save(path); err != nil {
			return nil, err
		}
	}
	n := &Numbering{indexes: s.Nodes}
	if mode == Paged {
		if n.pages, err = openPages(path+".pages", mostPages, time.Now); err != nil {
			return nil, err
		}
	}
	return n, nil
}

// Relayed is the numbering of nodes whose pids are gpids already, as another front end has dealt
// them for readers on another machine. A number below Stride, which could be that of a process of
// the reader's own machine, is none.
func Relayed() *Numbering { return &Numbering{relayed: true} }

// Mode is Fixed or Paged.
func (n *Numbering) Mode() string {
	if n.pages != nil {
		return Paged
	}
	return Fixed
}

// Index is the index of a node, which is not the head node.
func (n *Numbering) Index(name NodeName) (index int, ok bool) {
	index, ok = n.indexes[name]
	return index, ok
}

// GPID is the gpid of a process or thread of the node with that index. It is 0 for what
// no kernel gives out, and where there is no page, see Err.
func (n *Numbering) GPID(index int, pid PID) GPID {
	switch {
	case n.relayed && pid < Stride:
		return 0
	case n.relayed:
		return GPID(pid)
	case n.pages != nil && index != 0:
		return n.pages.gpid(index, pid)
	case pid < 1 || pid > MaxPID || index < 0 || index > maxFixedIndex:
		return 0
	}
	return GPID(index)*Stride + GPID(pid)
}

// Split is the inverse of GPID; where pids are gpids already all indexes are 0.
func (n *Numbering) Split(g GPID) (index int, pid PID, ok bool) {
	if n.relayed {
		return 0, PID(g), g >= Stride
	}
	if n.pages != nil && g > MaxPID {
		return n.pages.split(g)
	}
	index, pid = int(g/Stride), PID(g%Stride)
	return index, pid, g > 0 && pid > 0 && pid <= MaxPID && index <= maxFixedIndex
}

// Most is the largest pid that a node can have.
func (n *Numbering) Most() PID {
	if n.relayed {
		return Max
	}
	return MaxPID
}

// Seen says which processes a node has, by rising pid. Pages in which nothing has been
// seen or asked for in a while are given back.
func (n *Numbering) Seen(index int, pids []int32) {
	if n.pages != nil {
		n.pages.seen(index, pids)
	}
}

// PIDMax is above every gpid that there is: sys/kernel/pid_max of the merged tree, of which
// programs make arrays, and the columns of procps. It is a power of two times Stride, or Max,
// and never falls, over restarts neither.
func (n *Numbering) PIDMax() GPID {
	if n.relayed { // others deal them
		return Max
	}
	strides := 1 // the head node's
	for _, index := range n.indexes {
		strides = max(strides, index+1)
	}
	if n.pages != nil {
		strides = n.pages.highest()/Stride + 1
	}
	most := int64(Stride)
	for most < int64(strides)*Stride {
		most *= 2
	}
	return GPID(min(most, Max))
}

// Rising reports whether the gpids of a node with a higher index, or of a higher pid, are
// higher.
func (n *Numbering) Rising() bool { return n.pages == nil && !n.relayed }

// Err is why some processes have no gpid now, and refused how many were asked for in vain
// since the start; nil is that all have one.
func (n *Numbering) Err() (refused int64, err error) {
	if n.pages == nil {
		return 0, nil
	}
	n.pages.mu.Lock()
	defer n.pages.mu.Unlock()
	return n.pages.refused, n.pages.err
}

// Close syncs the journal of pages, if there is one, and closes it.
func (n *Numbering) Close() error {
	if n.pages == nil {
		return nil
	}
	return n.pages.close()
}
