package proctable

import (
	"github.com/aggrfs/aggrfs/internal/procfile"
	"github.com/aggrfs/aggrfs/pkg/snapshot"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// Visibility is in which form a table's files of a process may be given to a requester.
type Visibility uint8

// The visibilities.
const (
	None   Visibility = iota // not at all: the node's kernel must say
	Masked                   // as the kernel shows it to any other user
	Full                     // as the front end's reader reads it
)

// Visibility is in which form a row of the node's tables may be given to who: full if the leaf
// is certain that the kernel gives it so, masked to other users, from whom the procfs hides
// nothing. To the process's own user of whom the leaf is not certain it is not given at all,
// since the kernel may show them more.
func (n *Node) Visibility(r Row, who vfs.Identity) Visibility {
	if n.Reads(who) {
		return Full
	}
	p := r.Table.Proc(r.I)
	switch {
	case who.UID == vfs.OverflowID || who.UID == vfs.NoID:
		return None
	case who.UID == p.UID && who.GID == p.GID && p.OwnerReads:
		return Full
	case who.UID == p.UID || HidesFrom(r.Table.Facts(), who, procfile.HideContent):
		return None
	}
	return Masked
}

// HidesFrom reports whether the node's procfs hides that much of processes from who.
func HidesFrom(f snapshot.Facts, who vfs.Identity, what int) bool {
	return procfile.Options{HidePID: f.HidePID, GID: f.PIDGID}.Hide(&who, what)
}

// Hides reports whether there may be processes in a table of the node that the
// node's own kernel does not list for who.
func (n *Node) Hides(t *Table, who vfs.Identity) bool {
	return !who.Equal(n.Reader) && !who.IsRoot() && HidesFrom(t.Facts(), who, procfile.HideProcess)
}
