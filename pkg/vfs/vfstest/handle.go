package vfstest

import (
	"context"
	"sync/atomic"
	"syscall"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// opened is the part of every handle that watches how it is used.
type opened struct {
	t      *Tree
	what   string
	users  atomic.Int32
	closed atomic.Bool
}

func (h *opened) open(t *Tree, what string) {
	h.t, h.what = t, what
	t.handles.Add(1)
}

// use begins a call on the handle, done ends it.
func (h *opened) use(op string) {
	h.users.Add(1)
	if h.closed.Load() {
		h.t.violation("%s of %s after its close", op, h.what)
	}
}

func (h *opened) done() { h.users.Add(-1) }

func (h *opened) Close() error {
	if h.closed.Swap(true) {
		h.t.violation("second close of %s", h.what)
		return syscall.EBADF
	}
	if h.users.Load() != 0 {
		h.t.violation("close of %s while it is in use", h.what)
	}
	h.t.handles.Add(-1)
	return nil
}

type dirHandle struct {
	opened
	dir     *dirNode
	listing *vfs.Listing
}

func (h *dirHandle) ReadDir(ctx context.Context, offset uint64, dst []vfs.DirEntry, max int) ([]vfs.DirEntry, error) {
	h.use("readdir")
	defer h.done()
	if max <= 0 {
		h.t.violation("readdir of %s with max %d", h.what, max)
	}
	if err := h.t.enter(ctx, OpReadDir, h.dir.o.path); err != nil {
		return dst, err
	}
	return h.listing.ReadDir(ctx, offset, dst, max)
}

// State implements vfs.Stater.
func (f *fileNode) State() (state uint64, ok bool) {
	f.t.mu.RLock()
	defer f.t.mu.RUnlock()
	file, _ := f.o.entry.(File)
	return file.State, file.State != 0 && !f.o.gone
}

// Open implements vfs.File.
func (f *fileNode) Open(ctx context.Context) (vfs.Handle, error) {
	entry, err := f.enter(ctx, OpOpen)
	if err != nil {
		return nil, err
	}
	file := entry.(File)
	if file.RPC != nil {
		h := &rpcHandle{file: file, node: f, state: make(chan rpcState, 1)}
		h.state <- rpcState{}
		h.open(f.t, "file "+f.o.path)
		return h, nil
	}
	content := file.Data
	if file.Read != nil {
		if content, err = file.Read(ctx, f.who); err != nil {
			return nil, err
		}
	}
	h := &fileHandle{node: f, bytes: vfs.NewBytes(content, file.Hold)}
	h.open(f.t, "file "+f.o.path)
	if file.Stream {
		return h, nil
	}
	return heldHandle{h, h.bytes}, nil
}

type fileHandle struct {
	opened
	node  *fileNode
	bytes *vfs.Bytes
}

func (h *fileHandle) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	h.use("read")
	defer h.done()
	if off < 0 {
		h.t.violation("read of %s at %d", h.what, off)
	}
	if err := h.t.enter(ctx, OpRead, h.node.o.path); err != nil {
		return 0, err
	}
	return h.bytes.ReadAt(ctx, p, off)
}

// heldHandle is a fileHandle that shows its content.
type heldHandle struct {
	*fileHandle
	vfs.Held
}

func (h heldHandle) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	return h.fileHandle.ReadAt(ctx, p, off)
}
func (h heldHandle) Close() error { return h.fileHandle.Close() }
