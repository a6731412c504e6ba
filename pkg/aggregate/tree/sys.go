package tree

import (
	"context"
	"strconv"

	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/objectid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/synthetic"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// The sys directory is the reader's native one, as links, but for
// sys/kernel/pid_max: procps lays out its columns by it, and others make arrays of that size.

func newSysDir(n *native, numbers *gpid.Numbering, id uint64, depth int, link func(*synthetic.Link, error) (vfs.Node, error)) vfs.Node {
	return n.base.Dir(id, func(_ context.Context, name string) (vfs.Node, error) {
		if name == "kernel" {
			return newSysKernelDir(n, numbers, objectid.Child(id, name), depth+1, link), nil
		}
		return link(n.entryIn(id, depth, "sys", name))
	}, func(context.Context) ([]vfs.DirEntry, error) {
		return n.entriesIn(id, "sys", synthetic.Entry(id, "kernel", vfs.TypeDir))
	})
}

func newSysKernelDir(n *native, numbers *gpid.Numbering, id uint64, depth int, link func(*synthetic.Link, error) (vfs.Node, error)) vfs.Node {
	return n.base.Dir(id, func(_ context.Context, name string) (vfs.Node, error) {
		if name != "pid_max" {
			return link(n.entryIn(id, depth, "sys/kernel", name))
		}
		return n.base.File(objectid.Child(id, name), func(context.Context) ([]byte, error) {
			return append(strconv.AppendInt(nil, int64(numbers.PIDMax()), 10), '\n'), nil
		}), nil
	}, func(context.Context) ([]vfs.DirEntry, error) {
		return n.entriesIn(id, "sys/kernel", synthetic.Entry(id, "pid_max", vfs.TypeFile))
	})
}
