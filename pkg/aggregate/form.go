package aggregate

import (
	"slices"
	"time"

	"github.com/aggrfs/aggrfs/pkg/snapshot"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// A form is how what a table holds of a process may be given to somebody.
type form uint8

const (
	unknown form = iota // not at all: the node's kernel must say
	masked              // as the kernel shows it to any other user
	full                // as whom the table was made for reads it
)

// form is in which form row i of a table of the node may be given to who: full to
// whom the leaf is certain that the kernel gives it, masked to other users, from
// whom the procfs hides nothing. To the process's own user of whom the leaf is not
// certain it is not given at all, since the kernel may show them more.
func (n *node) form(t *table, i int, who vfs.Identity) form {
	p := t.Proc(i)
	switch {
	case who.Equal(n.reader), who.IsRoot() && n.reader.IsRoot():
		return full
	case who.UID == vfs.OverflowID || who.UID == vfs.NoID:
		return unknown
	case who.UID == p.UID && who.GID == p.GID && p.OwnerReads:
		return full
	case who.UID == p.UID || hidesFrom(t.Facts(), who, hideContent):
		return unknown
	}
	return masked
}

// What a procfs hides, by its option hidepid, see proc(5).
const (
	hideContent  = 1 // what is in the directories of other users' processes
	hideProcess  = 2 // and that they exist
	hideUntraced = 4 // the same, whatever the option gid says
)

// hidesFrom tells whether the node's procfs hides that much of processes from who.
func hidesFrom(f snapshot.Facts, who vfs.Identity, what int) bool {
	if f.HidePID < what {
		return false
	}
	return f.HidePID >= hideUntraced || who.GID != f.PIDGID && !slices.Contains(who.Groups, f.PIDGID)
}

// hides tells whether there may be processes in a table of the node that the
// node's own kernel does not list for who.
func (n *node) hides(t *table, who vfs.Identity) bool {
	return !who.Equal(n.reader) && !who.IsRoot() && hidesFrom(t.Facts(), who, hideProcess)
}

// mask is a file of a process as the kernel shows it to those without access to
// the process; not ok if that cannot be made of what is held.
func mask(name string, raw []byte) (bytes []byte, ok bool) {
	switch name {
	case "stat":
		return snapshot.MaskStat(nil, raw)
	case "statm", "status", "cmdline", "comm", "cgroup":
		return raw, true // the same for all
	}
	return nil, false
}

// held is what the tables hold of the process that r is in, and in which form
// its viewer may have it: unknown where there is no good table, or where it does
// not exist for them any more. keep is how much longer it is good.
func (r *remote) held() (t *table, i int, keep time.Duration, f form) {
	if r.proc == nil {
		return nil, 0, 0, unknown
	}
	if t, i, keep = r.n.row(r.proc.pid, r.proc.leaf); t == nil {
		return nil, 0, 0, unknown
	}
	owner := func() (uint32, bool) { return t.Proc(i).UID, true }
	if !r.v.admits(r.n, owner, r.path) {
		return nil, 0, 0, unknown
	}
	if f = r.n.form(t, i, r.v.identity()); f == unknown {
		return nil, 0, 0, unknown
	}
	return t, i, keep, f
}
