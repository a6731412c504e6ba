package aggregate

import (
	"context"
	"strconv"

	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// The sys directory is the reader's native one, as links, but for
// sys/kernel/pid_max: procps lays out its columns by it.

func newSysDir(n *native, id uint64, link func(*link, error) (vfs.Node, error)) vfs.Node {
	return &madeDir{made: n.made, id: id, walk: func(_ context.Context, name string) (vfs.Node, error) {
		if name == "kernel" {
			return newSysKernelDir(n, childID(id, name), link), nil
		}
		return link(n.entryIn(id, "sys", name))
	}, list: func(context.Context) ([]vfs.DirEntry, error) {
		return n.entriesIn(id, "sys", namedEntry(id, "kernel", vfs.TypeDir))
	}}
}

func newSysKernelDir(n *native, id uint64, link func(*link, error) (vfs.Node, error)) vfs.Node {
	return &madeDir{made: n.made, id: id, walk: func(_ context.Context, name string) (vfs.Node, error) {
		if name != "pid_max" {
			return link(n.entryIn(id, "sys/kernel", name))
		}
		return &madeFile{made: n.made, id: childID(id, name), content: func(context.Context) ([]byte, error) {
			return append(strconv.AppendInt(nil, gpid.Max, 10), '\n'), nil
		}}, nil
	}, list: func(context.Context) ([]vfs.DirEntry, error) {
		return n.entriesIn(id, "sys/kernel", namedEntry(id, "pid_max", vfs.TypeFile))
	}}
}
