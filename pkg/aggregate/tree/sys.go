package tree

import (
	"context"
	"strconv"

	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/objectid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/synthetic"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// A sysDir is the sys directory: the reader's native one, as links, but for
// sys/kernel/pid_max: procps lays out its columns by it, and others make arrays of that size.
// It also has devices/system/cpu, which no procfs has, see newCPUsDir.
type sysDir struct {
	n       *native
	numbers *gpid.Numbering
	depth   int // how many directories it is below the mount's root
	link    func(*synthetic.Link, error) (vfs.Node, error)
	// cpus is the directory devices, which has the CPUs.
	cpus func(ctx context.Context, id uint64) (vfs.Node, error)
}

// at is the directory with that number.
func (d sysDir) at(id uint64) vfs.Node {
	n := d.n
	return n.base.Dir(id, func(ctx context.Context, name string) (vfs.Node, error) {
		switch name {
		case "kernel":
			return d.kernel(objectid.Child(id, name)), nil
		case "devices":
			return d.cpus(ctx, objectid.Child(id, name))
		}
		return d.link(n.entryIn(id, d.depth, "sys", name))
	}, func(context.Context) ([]vfs.DirEntry, error) {
		return n.entriesIn(id, "sys", synthetic.Entry(id, "kernel", vfs.TypeDir))
	})
}

// kernel is the directory kernel, with that number.
func (d sysDir) kernel(id uint64) vfs.Node {
	n := d.n
	return n.base.Dir(id, func(_ context.Context, name string) (vfs.Node, error) {
		if name != "pid_max" {
			return d.link(n.entryIn(id, d.depth+1, "sys/kernel", name))
		}
		return n.base.File(objectid.Child(id, name), func(context.Context) ([]byte, error) {
			return append(strconv.AppendInt(nil, int64(d.numbers.PIDMax()), 10), '\n'), nil
		}), nil
	}, func(context.Context) ([]vfs.DirEntry, error) {
		return n.entriesIn(id, "sys/kernel", synthetic.Entry(id, "pid_max", vfs.TypeFile))
	})
}
