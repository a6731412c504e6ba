package aggregate

import (
	"bytes"
	"context"
	"syscall"
	"time"

	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/rewrite"
)

// Files of a process name others: its parent, the leader of its process group and of its
// session, who traces it, its children. To a viewer who is limited in processes those
// that do not exist for them are not named, as with pid_namespaces(7), on every road: out
// of a table, in a snapshot for a mirror, in cluster/ps, and as read on demand, in the
// merged tree as below nodes/. hidepid hides no names of this kind: the kernel shows them
// in what it shows.
//
// Whether a process exists for the viewer is known from a table. A number that no table
// has is not named: what had it may be hidden, and a process group or session whose leader
// has ended keeps its number.

// asItIs rewrites nothing.
var asItIs = rewrite.Map{PID: func(native int64) int64 { return native }}

// rewrites reports whether the file at that path below r's process directory is not shown
// as the node gives it.
func (r *remote) rewrites(path []string) bool {
	return r.proc != nil && rewrite.For(path) != nil && (r.proc.m != nil || r.v.limited())
}

// A namer is a table by which it is known whom a viewer may know of.
type namer struct {
	r      *remote
	t      *table // nil is that it knows nobody
	missed bool   // something was asked for that lives and is not in t
}

// shows is rewrite.Map.Shows.
func (w *namer) shows(native int64, lives bool) bool {
	if gpid.PID(native) == w.r.proc.pid {
		return true
	}
	if w.t != nil {
		if i, ok := w.t.Find(int32(native)); ok {
			return w.r.v.sees(w.t.UID(i))
		}
	}
	w.missed = w.missed || lives
	return false
}

// rewrite rewrites the file at that path below the process directory.
func (w *namer) rewrite(path []string, raw []byte) ([]byte, error) {
	f, m := rewrite.For(path), w.r.proc.m
	if !w.r.rewrites(path) {
		return raw, nil
	}
	if w.r.v.limited() {
		limited := asItIs
		if m != nil {
			limited = *m
		}
		limited.Shows, m = w.shows, &limited
	}
	out, ok := f(m, make([]byte, 0, len(raw)+64), raw)
	if !ok {
		return nil, syscall.EIO
	}
	return out, nil
}

// rewriteRow rewrites a file as it stands in a table.
func (r *remote) rewriteRow(t *table, name string, raw []byte) ([]byte, error) {
	return (&namer{r: r, t: t}).rewrite([]string{name}, raw)
}

// rewriteRead rewrites a file that was read on demand, after the node was asked at that
// moment. If it names what lives and is not in the table, which may be older, another is
// asked for: a process sees its children as soon as they are there.
func (r *remote) rewriteRead(ctx context.Context, asked time.Time, path []string, raw []byte) ([]byte, error) {
	w := namer{r: r}
	if r.v.limited() && r.rewrites(path) {
		w.t, _ = r.n.fresh(ctx) // without one nobody is named
	}
	out, err := w.rewrite(path, raw)
	if !w.missed || w.t != nil && !w.t.moment.Before(asked) {
		return out, err
	}
	if w.t, _ = r.n.newer(ctx, asked); w.t == nil {
		return out, err
	}
	return w.rewrite(path, raw)
}

// hideParent makes the parent in a line of cluster/ps 0 where it does not exist for the
// viewer. The line is one that all share, in a copy.
func (w *psPen) hideParent(line []byte, n *node, t *table) {
	const pidWidth, gpidWidth = 7, 10
	at := w.nameWidth + 1 + pidWidth + 1 + gpidWidth + 1
	if len(line) < at+gpidWidth {
		return
	}
	field := line[at : at+gpidWidth]
	g, ok := gpid.Parse(string(bytes.TrimLeft(field, " ")))
	if !ok {
		return
	}
	if index, pid, ok := w.v.c.numbers.Split(g); ok && index == n.index {
		if i, ok := t.Find(int32(pid)); ok && w.v.sees(t.UID(i)) {
			return
		}
	}
	for i := range field {
		field[i] = ' '
	}
	field[gpidWidth-1] = '0'
}
