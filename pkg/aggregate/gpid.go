package aggregate

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/aggrfs/aggrfs/pkg/aggregate/paged"
	"github.com/aggrfs/aggrfs/pkg/aggregate/rewrite"
)

// NodeName is a node's name in the configuration.
type NodeName string

// PID is a process or thread id as its own node's kernel knows it.
type PID int32

// GPID is a process or thread id in the merged tree. It fits a pid_t (a signed
// 32-bit int), as procps demands.
type GPID int32

const (
	// gpidStride is the distance between the gpids of two neighbouring nodes:
	// node 12, pid 3456 is 120003456. It exceeds every pid, so that no gpid off
	// the head node is one that this kernel could give out.
	gpidStride = 10_000_000
	// MaxIndex is the largest index whose gpids all fit a pid_t.
	MaxIndex = 213
)

// maxGPID is what sys/kernel/pid_max shows: above every gpid, and of as many
// digits as procps makes room for.
const maxGPID = 1<<31 - 1

// fixedGPID is the gpid of a native pid on the node with that index: the fixed
// mode, which needs no memory. It is 0 for what no kernel gives out.
func fixedGPID(index int, pid PID) GPID {
	if pid < 1 || pid > rewrite.MaxPID || index < 0 || index > MaxIndex {
		return 0
	}
	return GPID(index)*gpidStride + GPID(pid)
}

// split is the inverse of fixedGPID.
func (g GPID) split() (index int, pid PID, ok bool) {
	index, pid = int(g/gpidStride), PID(g%gpidStride)
	return index, pid, g > 0 && pid > 0 && pid <= rewrite.MaxPID && index <= MaxIndex
}

// A numbering is how gpids are made.
type numbering interface {
	// gpid is the gpid of a process or thread of the node with that index; 0 is that
	// there is none.
	gpid(index int, pid PID) GPID
	// split is the reverse.
	split(g GPID) (index int, pid PID, ok bool)
	// seen is told which processes a node has.
	seen(index int, t *table)
	// rising tells whether the gpids of a node with a higher index, or of a higher
	// pid, are higher.
	rising() bool
}

// fixed is the numbering that needs no memory.
type fixed struct{}

func (fixed) gpid(index int, pid PID) GPID               { return fixedGPID(index, pid) }
func (fixed) split(g GPID) (index int, pid PID, ok bool) { return g.split() }
func (fixed) seen(int, *table)                           {}
func (fixed) rising() bool                               { return true }

// inPages is the numbering of clusters with more nodes: see package paged. The head
// node's gpids are its pids all the same.
type inPages struct{ space *paged.Space }

func (p inPages) gpid(index int, pid PID) GPID {
	if index == 0 {
		return fixedGPID(0, pid)
	}
	return GPID(p.space.GPID(index, int32(pid)))
}

func (p inPages) split(g GPID) (int, PID, bool) {
	if g <= rewrite.MaxPID {
		return 0, PID(g), g > 0
	}
	index, pid, ok := p.space.Split(int32(g))
	return index, PID(pid), ok
}

func (p inPages) seen(index int, t *table) {
	p.space.Seen(index, slices.Values(t.PIDs()))
}

func (inPages) rising() bool { return false }

func (g GPID) String() string { return strconv.Itoa(int(g)) }

// parsePID parses a pid as the kernel writes it: decimal digits, no sign, no
// leading zero, at most limit.
func parsePID(name string, limit int64) (int64, bool) {
	if name == "" || len(name) > 10 || name[0] < '1' || name[0] > '9' {
		return 0, false
	}
	n, err := strconv.ParseInt(name, 10, 64)
	return n, err == nil && n <= limit
}

// ID names a process in words: a gpid, or a node and a native pid.
type ID struct {
	GPID GPID     // 0 if it was given as node and pid
	Node NodeName // empty if it was given as a gpid
	PID  PID
}

// ParseID parses "120003456" or "n12:3456".
func ParseID(s string) (ID, error) {
	if n, ok := parsePID(s, maxGPID); ok {
		return ID{GPID: GPID(n)}, nil
	}
	if node, pid, ok := strings.Cut(s, ":"); ok && node != "" {
		if n, ok := parsePID(pid, rewrite.MaxPID); ok {
			return ID{Node: NodeName(node), PID: PID(n)}, nil
		}
	}
	return ID{}, fmt.Errorf("%q is neither a global pid (120003456) nor NODE:PID (n12:3456)", s)
}
