package tree

import (
	"context"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// Prefetched is a root of a cluster that has nothing but what a sweep
// brings: of each process the files that are named, and besides the processes the
// root's files and links, and sys. Every other name does not exist.
func Prefetched(root vfs.Dir, files []string) vfs.Dir {
	files = slices.DeleteFunc(slices.Clone(files), func(name string) bool { return strings.Contains(name, "/") })
	return &prefetchedRoot{root, files}
}

type prefetchedRoot struct {
	vfs.Dir
	files []string
}

// nothingElse is how long it stays true that a name does not exist.
const nothingElse = time.Hour

// Preview implements vfs.Previewer.
func (r *prefetchedRoot) Preview() vfs.Attr { return preview(r.Dir) }

func preview(n vfs.Node) vfs.Attr {
	if p, ok := n.(vfs.Previewer); ok {
		return p.Preview()
	}
	a, _ := n.Attr(context.Background()) // what is made here has no error
	return a
}

// Walk implements vfs.Dir.
func (r *prefetchedRoot) Walk(ctx context.Context, name string) (vfs.Node, error) {
	_, pid := gpid.Parse(name)
	switch {
	case pid, strings.Contains(name, ":"):
	case rootNames[name] == vfs.TypeDir && name != "sys":
		return nil, vfs.Missing{Keep: nothingElse}
	}
	n, err := r.Dir.Walk(ctx, name)
	if dir, ok := n.(vfs.Dir); ok && err == nil && name != "sys" {
		return &prefetchedDir{dir, r.files}, nil
	}
	return n, err
}

// List implements vfs.Dir.
func (r *prefetchedRoot) List(ctx context.Context) (vfs.DirHandle, error) {
	h, err := r.Dir.List(ctx)
	if err != nil {
		return nil, err
	}
	return &prefetchedList{h}, nil
}

// A prefetchedList is the listing of such a root.
type prefetchedList struct{ vfs.DirHandle }

// ReadDir implements vfs.DirHandle.
func (l *prefetchedList) ReadDir(ctx context.Context, offset uint64, dst []vfs.DirEntry, max int) ([]vfs.DirEntry, error) {
	for {
		n := len(dst)
		all, err := l.DirHandle.ReadDir(ctx, offset, dst, max)
		if err != nil || len(all) == n {
			return all, err
		}
		offset = all[len(all)-1].Next
		kept := slices.DeleteFunc(all[n:], func(e vfs.DirEntry) bool {
			return rootNames[e.Name] == vfs.TypeDir && e.Name != "sys"
		})
		if len(kept) > 0 {
			return all[:n+len(kept)], nil
		}
		dst = all[:n] // all of them were left out
	}
}

// A prefetchedDir is the directory of a process.
type prefetchedDir struct {
	vfs.Dir
	files []string
}

// Preview implements vfs.Previewer.
func (d *prefetchedDir) Preview() vfs.Attr { return preview(d.Dir) }

// Walk implements vfs.Dir.
func (d *prefetchedDir) Walk(ctx context.Context, name string) (vfs.Node, error) {
	if !slices.Contains(d.files, name) {
		return nil, vfs.Missing{Keep: nothingElse}
	}
	return d.Dir.Walk(ctx, name)
}

// List implements vfs.Dir.
func (d *prefetchedDir) List(context.Context) (vfs.DirHandle, error) {
	return vfs.NewListing(func(ctx context.Context) ([]vfs.DirEntry, error) {
		var all []vfs.DirEntry
		for i, name := range d.files {
			n, err := d.Dir.Walk(ctx, name)
			if vfs.Errno(err) == syscall.ENOENT {
				continue
			}
			if err != nil {
				return nil, err
			}
			all = append(all, vfs.DirEntry{Name: name, ID: n.ID(), Type: n.Type(), Next: uint64(i) + 1})
		}
		return all, nil
	}), nil
}

// Generation changes whenever a sweep has brought something.
func (t *Tree) Generation() (sum uint64) {
	for _, n := range t.Views.Nodes {
		sum += n.Sweeps()
	}
	return sum
}
