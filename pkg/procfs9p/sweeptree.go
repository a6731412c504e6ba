package procfs9p

import (
	"context"
	"syscall"
	"time"

	"github.com/aggrfs/aggrfs/pkg/snapshot"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// sweepNode is what both nodes of the snapshot tree are.
type sweepNode struct {
	leaf *Leaf
	id   uint64
	mode uint32
	born time.Time
}

// ID implements vfs.Node.
func (n sweepNode) ID() uint64 { return n.id }

// Type implements vfs.Node.
func (n sweepNode) Type() vfs.Type { return vfs.Type(n.mode & vfs.TypeMask) }

// Attr implements vfs.Node.
func (n sweepNode) Attr(ctx context.Context) (vfs.Attr, error) {
	return vfs.Attr{ID: n.id, Mode: n.mode, Nlink: 1, Atime: n.born, Mtime: n.born, Ctime: n.born}, ctx.Err()
}

// sweepDir is the root of the snapshot tree.
type sweepDir struct{ sweepNode }

// sweepFile is its one file.
type sweepFile struct{ sweepNode }

var (
	_ vfs.Dir  = sweepDir{}
	_ vfs.File = sweepFile{}
)

func newSweepDir(l *Leaf) sweepDir {
	id := l.childID(l.seed, "\x00"+SnapshotName) // no name in procfs
	return sweepDir{sweepNode{l, id, uint32(vfs.TypeDir) | 0o500, l.sweep.born}}
}

func (d sweepDir) file() sweepFile {
	return sweepFile{sweepNode{d.leaf, d.leaf.childID(d.id, SweepName), uint32(vfs.TypeFile) | 0o600, d.born}}
}

// Walk implements vfs.Dir.
func (d sweepDir) Walk(ctx context.Context, name string) (vfs.Node, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if name != SweepName {
		return nil, syscall.ENOENT
	}
	return d.file(), nil
}

// List implements vfs.Dir.
func (d sweepDir) List(ctx context.Context) (vfs.DirHandle, error) {
	return vfs.NewListing(func(ctx context.Context) ([]vfs.DirEntry, error) {
		return []vfs.DirEntry{{Name: SweepName, ID: d.file().id, Type: vfs.TypeFile, Next: 1}}, ctx.Err()
	}), ctx.Err()
}

// Open implements vfs.File.
func (f sweepFile) Open(ctx context.Context) (vfs.Handle, error) {
	h := &sweepHandle{leaf: f.leaf, lock: make(chan struct{}, 1)}
	return h, ctx.Err()
}

// sweepHandle is one exchange: what is written is the request, the first read
// after it has the sweep made, and all reads are of that one answer. Writing at
// offset 0 starts another exchange.
type sweepHandle struct {
	leaf *Leaf
	lock chan struct{} // full while held; guards what follows

	request []byte
	answer  *answer
}

var _ snapshot.RPC = (*sweepHandle)(nil)

func (h *sweepHandle) acquire(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case h.lock <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (h *sweepHandle) release() { <-h.lock }

// WriteAt implements vfs.Writer: a request is written from its start on,
// without gaps.
func (h *sweepHandle) WriteAt(ctx context.Context, p []byte, off int64) (int, error) {
	if err := h.acquire(ctx); err != nil {
		return 0, err
	}
	defer h.release()
	if off == 0 {
		h.forget()
	}
	switch {
	case h.answer != nil || off != int64(len(h.request)):
		return 0, syscall.EINVAL
	case len(h.request)+len(p) > snapshot.MaxRequest:
		return 0, syscall.EFBIG
	}
	h.request = append(h.request, p...)
	return len(p), nil
}

// ReadAt implements vfs.Handle. Before anything was written the file is empty.
func (h *sweepHandle) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	if err := h.acquire(ctx); err != nil {
		return 0, err
	}
	defer h.release()
	if h.answer == nil {
		if len(h.request) == 0 {
			return 0, nil
		}
		req, err := snapshot.DecodeRequest(h.request)
		if err != nil {
			h.leaf.cfg.Log.Warn("snapshot request refused", "error", err)
			return 0, syscall.EINVAL
		}
		if h.answer, err = h.leaf.sweep.join(ctx, req); err != nil {
			return 0, err
		}
	}
	if content := h.answer.bytes; off >= 0 && off < int64(len(content)) {
		return copy(p, content[off:]), nil
	}
	return 0, nil
}

// Close implements vfs.Handle.
func (h *sweepHandle) Close() error {
	h.forget()
	return nil
}

func (h *sweepHandle) forget() {
	h.request = h.request[:0]
	if h.answer != nil {
		h.answer.release()
		h.answer = nil
	}
}
