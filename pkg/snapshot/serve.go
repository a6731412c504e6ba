package snapshot

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"syscall"

	"github.com/aggrfs/aggrfs/pkg/vfs"
	"golang.org/x/sync/semaphore"
)

// SweepFile is the name of the rpc file in a snapshot tree.
const SweepFile = "sweep"

// A Source makes the answer to a request. It is called concurrently; the answer is
// the caller's.
type Source func(ctx context.Context, req Request) ([]byte, error)

// NewDir makes the root of a snapshot tree: a directory with one rpc file. A request
// is written, from offset 0 on; the first read has take make the answer. When that has
// been read to its end it is given up, and the file is empty until another request is
// written.
// attr is the directory's. Requests that are refused are logged at Debug.
func NewDir(attr vfs.Attr, log *slog.Logger, take Source) vfs.Dir {
	return NewOwnDir(attr, log, func() Own { return shared{take} })
}

// An Own makes the answers of one open rpc file, and may remember them: they are on the account of
// who has it open.
type Own interface {
	// Answer is a [Source]. It and Forget are called by one at a time.
	Answer(ctx context.Context, req Request) ([]byte, error)
	// Forget gives up what is remembered. It is called at the end, too.
	Forget()
	// Holds is how many bytes are remembered. It may be called at any time.
	Holds() int64
}

// shared is a Source that remembers nothing for anybody alone.
type shared struct{ take Source }

// Answer implements Own.
func (s shared) Answer(ctx context.Context, req Request) ([]byte, error) { return s.take(ctx, req) }

// Holds implements Own.
func (shared) Holds() int64 { return 0 }

// Forget implements Own.
func (shared) Forget() {}

// NewOwnDir is NewDir where each open file has a source of its own, which open makes.
func NewOwnDir(attr vfs.Attr, log *slog.Logger, open func() Own) vfs.Dir {
	return &dir{attr: attr, log: log, open: open}
}

type dir struct {
	attr vfs.Attr
	log  *slog.Logger
	open func() Own
}

// ID implements vfs.Node.
func (d *dir) ID() uint64 { return d.attr.ID }

// Type implements vfs.Node.
func (d *dir) Type() vfs.Type { return vfs.TypeDir }

// Attr implements vfs.Node.
func (d *dir) Attr(ctx context.Context) (vfs.Attr, error) { return d.attr, ctx.Err() }

// Walk implements vfs.Dir.
func (d *dir) Walk(ctx context.Context, name string) (vfs.Node, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if name != SweepFile {
		return nil, syscall.ENOENT
	}
	return &file{d}, nil
}

// List implements vfs.Dir.
func (d *dir) List(ctx context.Context) (vfs.DirHandle, error) {
	return vfs.NewListing(func(ctx context.Context) ([]vfs.DirEntry, error) {
		f := file{d}
		return []vfs.DirEntry{{Name: SweepFile, ID: f.ID(), Type: vfs.TypeFile, Next: 1}}, ctx.Err()
	}), ctx.Err()
}

type file struct{ d *dir }

// ID implements vfs.Node.
func (f *file) ID() uint64 { return f.d.attr.ID ^ 1<<63 }

// Type implements vfs.Node.
func (f *file) Type() vfs.Type { return vfs.TypeFile }

// Attr implements vfs.Node.
func (f *file) Attr(ctx context.Context) (vfs.Attr, error) {
	a := f.d.attr
	a.ID, a.Mode, a.Nlink, a.Size = f.ID(), uint32(vfs.TypeFile)|0o600, 1, 0
	return a, ctx.Err()
}

// Open implements vfs.File.
func (f *file) Open(ctx context.Context) (vfs.Handle, error) {
	return &exchange{d: f.d, own: f.d.open(), mu: semaphore.NewWeighted(1)}, ctx.Err()
}

// exchange is one open rpc file.
type exchange struct {
	d   *dir
	own Own

	mu       *semaphore.Weighted // the lock on what follows
	request  []byte
	answer   []byte
	err      error
	answered bool // answer and err are those to request

	holds atomic.Int64 // bytes of request and answer
}

var _ RPC = (*exchange)(nil)

// WriteAt implements vfs.Writer: a request is written from its start on, without
// gaps. Writing at 0 begins another one.
func (c *exchange) WriteAt(ctx context.Context, p []byte, off int64) (int, error) {
	if err := c.mu.Acquire(ctx, 1); err != nil {
		return 0, err
	}
	defer c.mu.Release(1)
	if off == 0 {
		c.forget()
		c.request, c.err, c.answered = c.request[:0], nil, false
	}
	if off != int64(len(c.request)) || c.answered {
		return 0, syscall.EINVAL
	}
	if len(c.request)+len(p) > MaxRequest {
		return 0, syscall.EFBIG
	}
	c.request = append(c.request, p...)
	c.holds.Store(int64(cap(c.request)))
	return len(p), nil
}

// ReadAt implements vfs.Handle. Before anything was written the file is empty.
func (c *exchange) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	if err := c.mu.Acquire(ctx, 1); err != nil {
		return 0, err
	}
	defer c.mu.Release(1)
	if len(c.request) == 0 {
		return 0, nil
	}
	if !c.answered {
		req, err := DecodeRequest(c.request)
		if err != nil {
			// The requester is told, again and again if they want that: no line for admins.
			c.d.log.Debug("snapshot request refused", "err", err)
			return 0, fmt.Errorf("%w: %w", syscall.EINVAL, err)
		}
		c.answer, c.err = c.own.Answer(ctx, req)
		c.answered = true
		c.holds.Store(int64(cap(c.request) + cap(c.answer)))
	}
	if c.err != nil {
		return 0, c.err
	}
	if off < 0 || off >= int64(len(c.answer)) {
		return 0, nil
	}
	n := copy(p, c.answer[off:])
	if off+int64(n) == int64(len(c.answer)) {
		c.forget()
	}
	return n, nil
}

// forget gives up the answer.
func (c *exchange) forget() {
	if c.answer != nil {
		recycle(c.answer)
		c.answer = nil
		c.holds.Store(int64(cap(c.request)))
	}
}

// Holds implements vfs.Holder.
func (c *exchange) Holds() int64 { return c.holds.Load() + c.own.Holds() }

// Forget implements vfs.Holder: reads fail until another request is written, for the
// rest of an answer is in no other. While a request is under way nothing is forgotten.
func (c *exchange) Forget() {
	if !c.mu.TryAcquire(1) {
		return
	}
	defer c.mu.Release(1)
	c.own.Forget()
	if c.answer != nil {
		c.forget()
		c.err = syscall.ENFILE
	}
}

// Close implements vfs.Handle.
func (c *exchange) Close() error {
	if err := c.mu.Acquire(context.Background(), 1); err != nil {
		return err
	}
	defer c.mu.Release(1)
	c.own.Forget()
	c.forget()
	return nil
}
