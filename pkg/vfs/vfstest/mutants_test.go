package vfstest

import (
	"context"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// TestMutants breaks each sentence of the contract and wants the suite to say so.
func TestMutants(t *testing.T) {
	for _, tt := range mutants {
		t.Run(tt.name, func(t *testing.T) {
			opts := options(sample())
			opts.Tree = mutant{opts.Tree, tt.change}
			said := failures(t, opts)
			for _, s := range said {
				if strings.Contains(s, tt.says) {
					return
				}
			}
			t.Errorf("the suite does not say %q, but: %q", tt.says, said)
		})
	}
}

var mutants = []struct {
	name   string
	change func(vfs.Node) vfs.Node
	says   string
}{
	{"zero id", files(func(f vfs.File) vfs.Node {
		return attrWith{File: f, attr: f.Attr, id: func() uint64 { return 0 }}
	}), "the id is 0"},
	{"attributes of another id", attributes(func(a *vfs.Attr) { a.ID++ }), "attributes have id"},
	{"attributes of another type", attributes(func(a *vfs.Attr) { a.Mode ^= vfs.TypeMask }), "and type"},
	{"negative keep", attributes(func(a *vfs.Attr) { a.Keep = -1 }), "keep"},
	{"wrong size", attributes(func(a *vfs.Attr) { a.Size += 5 }), "its size is"},
	{"attributes ignore the context", files(func(f vfs.File) vfs.Node {
		return attrWith{File: f, attr: func(ctx context.Context) (vfs.Attr, error) {
			if ctx.Err() != nil {
				time.Sleep(250 * time.Millisecond)
			}
			return f.Attr(context.WithoutCancel(ctx))
		}}
	}), "with a context that has ended took"},
	{"attributes of what is gone", files(func(f vfs.File) vfs.Node {
		kept, _ := f.Attr(context.Background())
		return attrWith{File: f, attr: func(context.Context) (vfs.Attr, error) { return kept, nil }}
	}), "its object has ended"},

	{"any name exists", walking(func(d vfs.Dir, ctx context.Context, name string) (vfs.Node, error) {
		if n, err := d.Walk(ctx, name); err == nil || ctx.Err() != nil {
			return n, err
		}
		return d, nil
	}), "which is not listed"},
	{"names are trimmed", walking(func(d vfs.Dir, ctx context.Context, name string) (vfs.Node, error) {
		return d.Walk(ctx, strings.TrimSpace(strings.TrimLeft(name, "0+"))+map[bool]string{true: "x"}[strings.TrimSpace(strings.TrimLeft(name, "0+")) == ""])
	}), "which is not listed"},
	{"missing is EIO", walking(func(d vfs.Dir, ctx context.Context, name string) (vfs.Node, error) {
		n, err := d.Walk(ctx, name)
		if vfs.Errno(err) == syscall.ENOENT {
			err = syscall.EIO
		}
		return n, err
	}), "not ENOENT"},
	{"cancelled is ENOENT", walking(func(d vfs.Dir, ctx context.Context, name string) (vfs.Node, error) {
		n, err := d.Walk(ctx, name)
		if err != nil {
			err = syscall.ENOENT
		}
		return n, err
	}), "not EINTR"},
	{"walk to another", walking(func(d vfs.Dir, ctx context.Context, name string) (vfs.Node, error) {
		if name == "maps" {
			name = "stat"
		}
		return d.Walk(ctx, name)
	}), "the walk has"},

	{"listing starts over", listing(func(h vfs.DirHandle) readDir {
		return func(ctx context.Context, off uint64, dst []vfs.DirEntry, max int) ([]vfs.DirEntry, error) {
			if off > 2 {
				return dst, nil
			}
			return h.ReadDir(ctx, off, dst, max)
		}
	}), "entries and <nil>, want"},
	{"listing has dots", listing(func(h vfs.DirHandle) readDir {
		return func(ctx context.Context, off uint64, dst []vfs.DirEntry, max int) ([]vfs.DirEntry, error) {
			n := len(dst)
			dst, err := h.ReadDir(ctx, off, dst, max)
			if off == 0 && len(dst) > n {
				dst[n].Name = "."
			}
			return dst, err
		}
	}), "which is no name"},
	{"listing by index", listing(func(h vfs.DirHandle) readDir {
		return func(ctx context.Context, off uint64, dst []vfs.DirEntry, max int) ([]vfs.DirEntry, error) {
			dst, err := h.ReadDir(ctx, off, dst, max)
			for i := range dst {
				dst[i].Next = 1
			}
			return dst, err
		}
	}), "Next is"},
	{"listing exceeds max", listing(func(h vfs.DirHandle) readDir {
		return func(ctx context.Context, off uint64, dst []vfs.DirEntry, max int) ([]vfs.DirEntry, error) {
			return h.ReadDir(ctx, off, dst, max+1)
		}
	}), "were asked for"},
	{"listing replaces", listing(func(h vfs.DirHandle) readDir {
		return func(ctx context.Context, off uint64, dst []vfs.DirEntry, max int) ([]vfs.DirEntry, error) {
			return h.ReadDir(ctx, off, dst[:0], max)
		}
	}), "not appended"},
	{"listing loses one", listing(func(h vfs.DirHandle) readDir {
		return func(ctx context.Context, off uint64, dst []vfs.DirEntry, max int) ([]vfs.DirEntry, error) {
			return h.ReadDir(ctx, off+off/3, dst, max)
		}
	}), "want"},

	{"content at read", files(func(f vfs.File) vfs.Node {
		return fileWith{f, func(ctx context.Context) (vfs.Handle, error) {
			h, err := f.Open(ctx)
			if err != nil {
				return nil, err
			}
			return handleWith{h, func(ctx context.Context, p []byte, off int64) (int, error) {
				again, err := f.Open(ctx)
				if err != nil {
					return 0, err
				}
				defer again.Close()
				return again.ReadAt(ctx, p, off)
			}}, nil
		}}
	}), "first ones as before"},
	{"short reads", reading(func(h vfs.Handle, ctx context.Context, p []byte, off int64) (int, error) {
		return h.ReadAt(ctx, p[:(len(p)+1)/2], off)
	}), "want"},
	{"EOF is an error", reading(func(h vfs.Handle, ctx context.Context, p []byte, off int64) (int, error) {
		n, err := h.ReadAt(ctx, p, off)
		if n == 0 && err == nil && len(p) > 0 {
			err = syscall.EINVAL
		}
		return n, err
	}), "read: invalid argument"},
	{"offset wraps", reading(func(h vfs.Handle, ctx context.Context, p []byte, off int64) (int, error) {
		return h.ReadAt(ctx, p, int64(uint32(off)))
	}), "at 4294967296"},
	{"same version", files(func(f vfs.File) vfs.Node {
		return fileWith{f, func(ctx context.Context) (vfs.Handle, error) {
			h, err := f.Open(ctx)
			if err != nil {
				return nil, err
			}
			defer h.Close()
			content, err := vfs.ReadAll(ctx, h, 1<<20)
			return oneVersion{vfs.NewBytes(content, time.Second)}, err
		}}
	}), "two contents have the version"},
	{"open ignores the context", files(func(f vfs.File) vfs.Node {
		return fileWith{f, func(ctx context.Context) (vfs.Handle, error) {
			if ctx.Err() == nil {
				return f.Open(ctx)
			}
			return nil, Deaf(ctx, 250*time.Millisecond)
		}}
	}), "took"},

	{"empty link", func(n vfs.Node) vfs.Node {
		if l, ok := n.(vfs.Link); ok {
			return linkWith{l, func(context.Context) (string, error) { return "", nil }}
		}
		return n
	}, "the link is"},
	{"ids by identity", files(func(f vfs.File) vfs.Node {
		uid := uint64(f.(*fileNode).who.UID)
		return attrWith{File: f, id: func() uint64 { return f.ID() + uid }, attr: f.Attr}
	}), "as 1001 it is"},
}

// oneVersion gives the same version to every content.
type oneVersion struct{ *vfs.Bytes }

func (oneVersion) Version() uint64 { return 1 }
