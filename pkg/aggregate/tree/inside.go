package tree

import (
	"context"
	"strconv"
	"syscall"

	"github.com/aggrfs/aggrfs/pkg/aggregate/objectid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/synthetic"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// nativeEntry is what a root has besides links to root names where the native procfs is inside of
// the mount; nil is that it is not such a name.
func nativeEntry(v viewTree, name string) vfs.Node {
	n := v.native
	switch {
	case n.Inside == "":
	case name == n.Inside && v.depth == 0:
		return mountPoint{n.base.Dir(objectid.Child(0, name), noEntry, nil)}
	case name == "self" || name == "thread-self":
		return &selfLink{n.link(objectid.Child(v.ID, name), v.depth, name), n, name}
	}
	return nil
}

func noEntry(context.Context, string) (vfs.Node, error) { return nil, syscall.ENOENT }

// A mountPoint is where the native procfs is mounted: an empty directory, not listed.
type mountPoint struct{ *synthetic.Dir }

// MountPoint implements vfs.MountPoint.
func (mountPoint) MountPoint() {}

// A selfLink is self or thread-self: it reads as the number of who reads it, as procfs has it
// (proc_pid(5)). To whom is in another pid namespace it is the native link.
type selfLink struct {
	*synthetic.Link
	n    *native
	name string
}

// Attr implements vfs.Node: the size is 0, as procfs says.
func (l *selfLink) Attr(ctx context.Context) (vfs.Attr, error) {
	a, err := l.Link.Attr(ctx)
	a.Size = 0
	return a, err
}

// Readlink implements vfs.Link.
func (l *selfLink) Readlink(ctx context.Context) (string, error) {
	pid := l.n.callerPID(ctx)
	if pid == 0 {
		return l.Target, nil
	}
	text := strconv.Itoa(int(pid))
	if caller, ok := vfs.CallerOf(ctx); ok && l.name == "thread-self" {
		text += "/task/" + strconv.FormatUint(uint64(caller.TID), 10)
	}
	return text, nil
}
