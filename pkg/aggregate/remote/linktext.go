package remote

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/aggrfs/aggrfs/pkg/aggregate/objectid"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// The links of a process of another machine, in the merged tree.
//
// One that names a file reads as on the node, and leads nowhere: a file of that name on the
// reader's machine is another one, and who opens it, or asks whether the process uses it (fuser,
// lsof), would be told of the wrong one.
//
// One that names a kernel's object by its number, as net:[4026531840] and socket:[123], reads with a
// number that no object of another machine has, the reader's among them. Programs compare them
// across processes, by that text or by st_ino of what it leads to: a name of this form is
// relative, so it is walked to in the directory that the link is in.

// isAbroad reports whether r is of a process of another machine, in the merged tree.
func isAbroad(r *object) bool { return r.proc != nil && r.proc.Map != nil && r.n.Index != 0 }

// holdsMarks reports whether d is a directory of links that may name objects of the kernel.
func (d *dir) holdsMarks() bool {
	at := 1
	if len(d.path) == 4 && d.path[1] == "task" {
		at = 3
	}
	return len(d.path) == at+1 && (d.path[at] == "fd" || d.path[at] == "ns")
}

// Follow implements vfs.Followed.
func (l *link) Follow(ctx context.Context, _ bool) (string, error) {
	text, err := l.Readlink(ctx)
	if err == nil && isAbroad(&l.object) && strings.HasPrefix(text, "/") {
		text = nowhere(string(l.n.Name)) + text
	}
	return text, err
}

// nowhere is a name that no directory has, so that a path through it leads nowhere. It says whose
// path it is.
func nowhere(node string) string { return node + ":" }

// inMerged is the text of a link of the node's as the merged tree has it.
func inMerged(r *object, text string) string {
	kind, n, ok := cutMark(text)
	if !ok || !isAbroad(r) {
		return text
	}
	return fmt.Sprintf("%s:[%d]", kind, markNumber(r.n.Index, kind, n))
}

// cutMark cuts the name of an object of the kernel, "pipe:[123]".
func cutMark(text string) (kind string, n uint64, ok bool) {
	kind, rest, ok := strings.Cut(text, ":[")
	digits, end := strings.CutSuffix(rest, "]")
	n, err := strconv.ParseUint(digits, 10, 63)
	return kind, n, ok && end && err == nil && !strings.Contains(kind, "/")
}

// markNumber is the number of an object of a node's kernel, whose own are below 2^32.
//
// Programs that look for whose socket one of /proc/net/tcp is keep 32 bits of the number in the
// text (ss(8)), of which none is set here: zero is no socket to them.
func markNumber(index int, kind string, n uint64) uint64 {
	own := objectid.Finish(objectid.Mix(objectid.Mix(objectid.Offset, uint64(index)), n))
	switch {
	case kind == "socket":
		return own>>33<<32 | hashed
	case n < 1<<32 && index < 1<<30:
		return uint64(index)<<32 | n
	}
	return own>>1 | hashed
}

// hashed is set in numbers that do not have the node's index in them.
const hashed = 1 << 62

// isMarkNumber reports whether a number may be one of markNumber's for that node.
func isMarkNumber(index int, n uint64) bool { return n&hashed != 0 || n>>32 == uint64(index) }

// markKeep is how long such a name may be cached: it is what it says.
const markKeep = time.Hour

// walkMark is what the text of a link in d leads to; nil is that the name is not of that form.
func (d *dir) walkMark(ctx context.Context, name string) (vfs.Node, error) {
	if name == nowhere(string(d.n.Name)) {
		return nil, vfs.Missing{Keep: markKeep}
	}
	kind, _, ok := strings.Cut(name, ":")
	if !ok {
		return nil, nil
	}
	if err := d.exists(ctx, d.path); err != nil {
		return nil, err
	}
	a := vfs.Attr{ID: objectid.Child(d.id, name), Mode: syscall.S_IFREG | 0o600, Nlink: 1, Keep: markKeep}
	if _, n, numbered := cutMark(name); numbered {
		if !isMarkNumber(d.n.Index, n) {
			return nil, vfs.Missing{Keep: markKeep}
		}
		a.ID = n
	}
	switch {
	case d.path[len(d.path)-1] == "ns":
		// A device can be opened by nobody on a mount without them (EACCES), and lsns(8), which opens
		// it to ask for more, goes on without.
		a.Mode = syscall.S_IFCHR | 0o444
	case kind == "socket":
		a.Mode = syscall.S_IFSOCK | 0o777
	case kind == "pipe":
		a.Mode = syscall.S_IFIFO | 0o600
	}
	return &mark{a}, nil
}

// A mark stands for an object of another machine's kernel: stat(2) tells its number and its kind, and
// there is nothing in it.
type mark struct{ attr vfs.Attr }

// ID implements vfs.Node.
func (m *mark) ID() uint64 { return m.attr.ID }

// Type implements vfs.Node.
func (m *mark) Type() vfs.Type { return vfs.TypeFile }

// Attr implements vfs.Node.
func (m *mark) Attr(context.Context) (vfs.Attr, error) { return m.attr, nil }

// Preview implements vfs.Previewer.
func (m *mark) Preview() vfs.Attr { return m.attr }

// Open implements vfs.File.
func (m *mark) Open(context.Context) (vfs.Handle, error) { return vfs.NewBytes(nil, markKeep), nil }
