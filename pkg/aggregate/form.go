package aggregate

import (
	"time"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// A form is how what a table holds of a process may be given to somebody.
type form uint8

const (
	unknown form = iota // not at all: the node's kernel must say
	masked              // as the kernel shows it to any other user
	full                // as whom the table was made for reads it
)

// form is in which form row i of a table of the node may be given to who.
func (n *node) form(t *table, i int, who vfs.Identity) form {
	if who.Equal(n.reader) || who.IsRoot() && n.reader.IsRoot() {
		return full
	}
	return unknown
}

// held is what the tables hold of the process that r is in, and in which form
// its viewer may have it: unknown where there is no good table, or where it does
// not exist for them any more. keep is how much longer it is good.
func (r *remote) held() (t *table, i int, keep time.Duration, f form) {
	if r.proc == nil || r.exists(r.path) != nil {
		return nil, 0, 0, unknown
	}
	if t, i, keep = r.n.row(r.proc.pid, r.proc.leaf); t == nil {
		return nil, 0, 0, unknown
	}
	if f = r.n.form(t, i, r.v.identity()); f == unknown {
		return nil, 0, 0, unknown
	}
	return t, i, keep, f
}

// hides tells whether there may be processes in a table of the node that the
// node's own kernel does not list for who.
func (n *node) hides(t *table, who vfs.Identity) bool { return false }

// mask is a file of a process as the kernel shows it to those without access to
// the process; not ok if that cannot be made of what is held.
func mask(name string, raw []byte) (bytes []byte, ok bool) { return nil, false }
