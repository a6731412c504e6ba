package view

import (
	"strings"

	"github.com/aggrfs/aggrfs/internal/procfile"
	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/proctable"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// A Viewer is for whom the objects of a tree are shown, and what of the nodes
// exists for them now. It is asked at every request on an object, not only when
// its name is walked.
type Viewer interface {
	// Identity is the requester; the node reads with their rights.
	Identity() vfs.Identity
	// Reaches reports whether the node exists.
	Reaches(n *proctable.Node) bool
	// Sees reports whether processes of that user exist.
	Sees(uid uint32) bool
	// Limited reports whether there are users whose processes do not exist.
	Limited() bool
	// Denies reports whether a file does not exist, by its path on its node.
	Denies(path ...string) bool
	// Admits reports whether what is at a path of a node exists: all of the above in
	// one. owner is whose process it leads through, not ok if through none.
	Admits(n *proctable.Node, owner func() (uid uint32, ok bool), path []string) bool
}

// Everything is a viewer for whom all exists: what there is has been decided elsewhere.
type Everything struct{ Who vfs.Identity }

// Identity implements Viewer.
func (e Everything) Identity() vfs.Identity { return e.Who }

// Reaches implements Viewer.
func (Everything) Reaches(*proctable.Node) bool { return true }

// Sees implements Viewer.
func (Everything) Sees(uint32) bool { return true }

// Limited implements Viewer.
func (Everything) Limited() bool { return false }

// Denies implements Viewer.
func (Everything) Denies(...string) bool { return false }

// Admits implements Viewer.
func (Everything) Admits(*proctable.Node, func() (uint32, bool), []string) bool { return true }

// CountsOthers reports whether a path from the root of a node's /proc is that of a file
// below sys that counts what all users do: it does not exist for a limited viewer.
func CountsOthers(path []string) bool {
	return len(path) > 2 && path[0] == "sys" && procfile.Root.File(strings.Join(path, "/")).CountsOthers
}

// Outside reports whether a name in the root of a node's /proc is one of what tells
// of others' processes: it does not exist for a limited viewer.
func Outside(name string) bool { return !procfile.Root.File(name).NodeWide && !NamesProcess(name) }

// OfNetwork reports whether a path from the root of a node's /proc leads to what a
// process's directory tells of its network namespace, which is everybody's: it does
// not exist for a limited viewer either.
func OfNetwork(path []string) bool {
	return len(path) > 1 && path[1] == "net" || len(path) > 3 && path[1] == "task" && path[3] == "net"
}

// NamesProcess reports whether a name stands for a process or thread, and so may
// come to stand for another one.
func NamesProcess(name string) bool {
	_, pid := gpid.Parse(name)
	return pid || strings.Contains(name, ":")
}
