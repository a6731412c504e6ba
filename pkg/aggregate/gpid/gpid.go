// Package gpid numbers the processes of a cluster.
//
// # Model
//
// A [PID] is a process's id on its own node, a [GPID] its id in the merged tree. The
// head node has index 0, and its gpids are its pids. Every other node has an index from
// 1 on, and gpids from [Stride] on, which no kernel gives out: a signal to one on the head
// node reaches nobody. A [Numbering] turns one into the other, in one of two modes.
//
// Fixed gpids are index × Stride + pid. They need no memory, and there is room for 213
// nodes.
//
// Paged gpids are for more. The numbers from Stride to Elsewhere are dealt in pages of
// 100 to pages of native pids: pid 3456 of a node is the 56th number of whatever page that
// node's pids 3400 to 3499 have. A page is dealt when the first of them is asked for. There
// are 21 million, which is over 2,000 for each of 10,000 nodes. A page is given back when
// nothing has been asked for in it, and its node has shown no process in it, for ten
// minutes; and what was given back is dealt anew only when there is no page left that never
// was, the longest free first. So a number does not soon name another process. When there
// is no page at all a pid has no number.
//
// # Readers on another machine
//
// To a reader on another machine the head node's pids would be those of processes of that
// machine. There a process of the head node has [Elsewhere] added to its pid; all others have
// the gpids that they have everywhere. What another front end has numbered so is numbered by
// [Relayed].
//
// # Files
//
// The state file has the mode and the index of each node, so that a restart moves no gpid.
// A node that leaves the configuration keeps its index for when it comes back; indexes of
// such nodes are dealt anew only when there is no other.
//
// Beside it, with the suffix ".pages", is the journal of the pages: a record of 16 bytes for
// each page dealt and given back, little endian,
//
//	4  index of the node
//	4  page of native pids
//	4  page of numbers; bit 31: it is given back
//	4  CRC-32 (IEEE) of the 12 bytes before
//
// behind the 8 bytes "agrpages". It is written before a number is given out, so that it
// survives the end of the process, and synced within a second, for that of the machine.
// What is not whole at its end is cut off. It is written anew, in place of the old one,
// when it is opened and most of it is about pages that were given back.
package gpid

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// NodeName is a node's name in the configuration.
type NodeName string

// PID is a process or thread id as its own node's kernel knows it.
type PID int32

// GPID is a process or thread id in the merged tree. It fits a pid_t (a signed
// 32-bit int), as procps demands.
type GPID int32

const (
	// Stride is the least gpid off the head node, and the distance between the fixed
	// gpids of two neighbouring nodes: node 12, pid 3456 is 120003456. It exceeds every
	// pid, so that no gpid off the head node is one that this kernel could give out.
	Stride = 10_000_000
	// Max is the largest gpid that there can be. Those that there are lie below Numbering.PIDMax.
	Max = math.MaxInt32
	// Elsewhere is added to the pids of the head node for readers on another machine. It is
	// above all other gpids.
	Elsewhere = (maxFixedIndex + 1) * Stride
	// MaxPID is the largest pid that a Linux kernel gives out, see PID_MAX_LIMIT of
	// linux/threads.h.
	MaxPID = 1 << 22
)

// Home is what a gpid that a reader on another machine was told is called on the front end's own.
func Home(g GPID) GPID {
	if g > Elsewhere && g <= Elsewhere+MaxPID {
		return g - Elsewhere
	}
	return g
}

func (g GPID) String() string { return strconv.Itoa(int(g)) }

// Parse parses a gpid as the kernel writes a pid: decimal digits, no sign, no leading
// zero, at most Max.
func Parse(name string) (GPID, bool) {
	if name == "" || name[0] < '1' || name[0] > '9' {
		return 0, false
	}
	n, err := strconv.ParseInt(name, 10, 32)
	return GPID(n), err == nil
}

// ParsePID parses a pid like Parse; it is at most MaxPID.
func ParsePID(name string) (PID, bool) {
	g, ok := Parse(name)
	return PID(g), ok && g <= MaxPID
}

// ID names a process in words: a gpid, or a node and a native pid.
type ID struct {
	GPID GPID     // 0 if it was given as node and pid
	Node NodeName // empty if it was given as a gpid
	PID  PID
}

// ParseID parses "120003456" or "n12:3456".
func ParseID(s string) (ID, error) {
	if g, ok := Parse(s); ok {
		return ID{GPID: g}, nil
	}
	if node, name, ok := strings.Cut(s, ":"); ok && node != "" {
		if pid, ok := ParsePID(name); ok {
			return ID{Node: NodeName(node), PID: pid}, nil
		}
	}
	return ID{}, fmt.Errorf("%q is neither a global pid (120003456) nor NODE:PID (n12:3456)", s)
}
