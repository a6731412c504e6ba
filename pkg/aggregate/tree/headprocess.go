package tree

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/objectid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/proctable"
	"github.com/aggrfs/aggrfs/pkg/aggregate/synthetic"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// In a mount that has the native procfs inside (Native.Inside), the processes of the reader's own
// machine are what they are natively: their numbers are the native ones, so nothing in their
// files has to be rewritten. Who they are, and whether they are in the view, is known here; what
// is in them is the kernel's to say: to this reader, at this moment, for reading, writing, mapping and
// following alike.

// A kind is what a name in the directory of a process of the reader's machine is, or of a thread. The
// zero kind is a link into the native procfs. That is what every name is that is not among
// headKinds: it costs no exchange, is never stale, and takes what is written to it. It is not a
// directory where the native one is (ls -l shows fd as a link, fd/ as what is in it).
type kind int

const (
	_ kind = iota
	// ownDir is a directory of this tree.
	ownDir
	// ownText is a link that reads as the native one does, and leads where that leads.
	ownText
)

// headKinds are the names that are no links into the native procfs, and why.
var headKinds = map[string]kind{
	"task": ownDir,  // htop opens it and what is in it without following links; find goes in
	"exe":  ownText, // programs look where they are (Go's os.Executable, the JVM), pidof what runs
	"cwd":  ownText, // pwdx and lsof show it
	"root": ownText, // lsof shows it
}

// linkKeep is how long what a name of such a directory is may be cached: the directory is that
// of one process for ever.
const linkKeep = time.Hour

// isHead reports whether that is the reader's own machine, whose processes are native.
func isHead(v viewTree, n *proctable.Node) bool {
	return v.native.Inside != "" && n == v.t.Views.Nodes[0]
}

// A headDir is the directory of such a process, or of a thread of it.
type headDir struct {
	own   vfs.Dir // as the directory of any process is: its number, owner and mode
	v     viewTree
	depth int      // how many directories it is below the mount's root
	path  []string // from the root of the procfs
	leaf  uint64   // the leaf's number for the process; 0 is not known
}

func newHeadProcess(v viewTree, own vfs.Dir, pid gpid.PID, leaf uint64) *headDir {
	return &headDir{own: own, v: v, depth: v.depth + 1, path: []string{strconv.Itoa(int(pid))}, leaf: leaf}
}

// ID implements vfs.Node.
func (d *headDir) ID() uint64 { return d.own.ID() }

// Type implements vfs.Node.
func (d *headDir) Type() vfs.Type { return vfs.TypeDir }

// Attr implements vfs.Node.
func (d *headDir) Attr(ctx context.Context) (vfs.Attr, error) { return d.own.Attr(ctx) }

// Preview implements vfs.Previewer.
func (d *headDir) Preview() vfs.Attr { return preview(d.own) }

// isThread reports whether d is that of a thread.
func (d *headDir) isThread() bool { return len(d.path) > 1 }

// Walk implements vfs.Dir.
func (d *headDir) Walk(ctx context.Context, name string) (vfs.Node, error) {
	if _, ok := slices.BinarySearch(d.v.native.processNames(d.isThread()), name); !ok {
		return nil, vfs.Missing{Keep: linkKeep}
	}
	id := objectid.Child(d.ID(), name)
	link := synthetic.Base{Since: d.v.native.base.Since, Keep: linkKeep}.Link(id, d.target(name))
	switch headKinds[name] {
	case ownDir:
		return d.tasks(id), nil
	case ownText:
		return &headText{link, d, name}, nil
	}
	return link, nil
}

// target is where a name leads in the native procfs.
func (d *headDir) target(name string) string {
	return d.v.native.target(d.depth, strings.Join(d.path, "/")+"/"+name)
}

// List implements vfs.Dir.
func (d *headDir) List(context.Context) (vfs.DirHandle, error) {
	return vfs.NewListing(func(context.Context) ([]vfs.DirEntry, error) {
		var all []vfs.DirEntry
		for _, name := range d.v.native.processNames(d.isThread()) {
			t := vfs.TypeLink
			if headKinds[name] == ownDir {
				t = vfs.TypeDir
			}
			all = append(all, synthetic.Entry(d.ID(), name, t))
		}
		return synthetic.Sort(all), nil
	}), nil
}

// at calls f with what is at that name below d, as the leaf gives it to the reader.
func (d *headDir) at(ctx context.Context, f func(context.Context, vfs.Node) error, names ...string) error {
	head := d.v.t.Views.Nodes[0]
	return head.Call(ctx, d.v.Who, func(ctx context.Context, root vfs.Dir) error {
		found, ids, err := vfs.WalkPath(ctx, root, append(slices.Clip(d.path), names...)...)
		if err != nil {
			return err
		}
		if d.leaf != 0 && ids[0] != d.leaf {
			return syscall.ESRCH
		}
		return f(ctx, found)
	})
}

// tasks is the directory of d's threads.
func (d *headDir) tasks(id uint64) vfs.Dir {
	base := d.v.native.base
	return base.Dir(id, func(ctx context.Context, name string) (vfs.Node, error) {
		if _, ok := gpid.Parse(name); !ok {
			return nil, syscall.ENOENT
		}
		thread := &headDir{v: d.v, depth: d.depth + 2, path: append(slices.Clip(d.path), "task", name), leaf: d.leaf}
		err := d.at(ctx, func(ctx context.Context, n vfs.Node) error {
			a, err := d.v.t.Views.Nodes[0].AttrOf(ctx, d.v.Who, n)
			a.ID, a.Keep, a.KeepName = objectid.Child(id, name), base.Keep, base.Keep
			thread.own = &fixedDir{base.Dir(a.ID, nil, nil), a}
			return err
		}, "task", name)
		return thread, err
	}, func(ctx context.Context) (all []vfs.DirEntry, err error) {
		err = d.at(ctx, func(ctx context.Context, n vfs.Node) error {
			dir, ok := n.(vfs.Dir)
			if !ok {
				return syscall.ENOTDIR
			}
			all, err = d.v.t.Views.Nodes[0].ReadDir(ctx, dir, proctable.MaxEntries)
			return err
		}, "task")
		for i := range all {
			all[i].ID = objectid.Child(id, all[i].Name)
		}
		return all, err
	})
}

// A fixedDir is a directory with the attributes that it was found with.
type fixedDir struct {
	vfs.Dir
	attr vfs.Attr
}

// Attr implements vfs.Node.
func (d *fixedDir) Attr(context.Context) (vfs.Attr, error) { return d.attr, nil }

// A headText is exe, cwd or root: it reads as the native one, and leads where that leads, which no
// path may lead to (a file that has been deleted, a directory of another mount namespace), and where
// the path that it reads as may lead to something else.
type headText struct {
	*synthetic.Link // into the native procfs
	d               *headDir
	name            string
}

// Readlink implements vfs.Link.
func (l *headText) Readlink(ctx context.Context) (text string, err error) {
	err = l.d.at(ctx, func(ctx context.Context, n vfs.Node) error {
		link, ok := n.(vfs.Link)
		if !ok {
			return syscall.EINVAL
		}
		text, err = link.Readlink(ctx)
		return err
	}, l.name)
	return text, err
}

// Follow implements vfs.Followed.
//
// Of a reader of which it is not known, exe reads as the native one: the dynamic linker, which reads
// its own, ends at a text that is relative. Through cwd and root the path goes on, and must not lead
// to something else.
func (l *headText) Follow(ctx context.Context, known bool) (string, error) {
	if !known && l.name == "exe" {
		return l.Readlink(ctx)
	}
	return l.Target, nil
}
