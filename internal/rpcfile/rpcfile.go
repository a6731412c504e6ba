// Package rpcfile makes rpc files as Plan 9 has them: a request is written, and the answer read
// from the same open file.
//
// A request is written from offset 0 on, without gaps; the first read has the answer made, once,
// whatever comes of it. When that has been read to its end it is given up, and the file is empty
// until another request is written, at 0. All methods may be called concurrently; one request of
// an open file is under way at a time.
package rpcfile

import (
	"context"
	"sync/atomic"
	"syscall"

	"github.com/aggrfs/aggrfs/pkg/vfs"
	"golang.org/x/sync/semaphore"
)

// A Server is what answers.
type Server struct {
	// Answer makes the answer to a request, which it must not keep. It is called concurrently,
	// for different open files. The answer is the file's, until Recycle.
	Answer func(ctx context.Context, request []byte) ([]byte, error)
	// Open makes what answers for one open file, in the place of Answer; nil is that Answer does for
	// all.
	Open func() Own
	// Most is how long a request may be, in bytes; a longer one is EFBIG.
	Most int
	// Recycle gets answers back that nobody reads any more; nil is that nobody wants them.
	Recycle func(answer []byte)
}

// An Own makes the answers of one open file, and may remember them: they are on the account of who
// has it open.
type Own interface {
	// Answer is as that of a Server. It and Forget are called by one at a time.
	Answer(ctx context.Context, request []byte) ([]byte, error)
	// Forget gives up what is remembered. It is called at the end, too.
	Forget()
	// Holds is how many bytes are remembered. It may be called at any time.
	Holds() int64
}

// shared is what answers for all open files, and remembers nothing for any.
type shared struct{ *Server }

// Answer implements Own.
func (s shared) Answer(ctx context.Context, request []byte) ([]byte, error) {
	return s.Server.Answer(ctx, request)
}

// Forget implements Own.
func (shared) Forget() {}

// Holds implements Own.
func (shared) Holds() int64 { return 0 }

// File is an rpc file with those attributes.
func (s *Server) File(attr vfs.Attr) vfs.File { return &file{s, attr} }

// Dir is a directory with one file, an rpc file of that name, that its owner alone may use. attr is the
// directory's.
func (s *Server) Dir(attr vfs.Attr, name string) vfs.Dir {
	a := attr
	a.ID, a.Mode, a.Nlink, a.Size = attr.ID^1<<63, uint32(vfs.TypeFile)|0o600, 1, 0
	return &dir{attr, name, s.File(a)}
}

type dir struct {
	attr vfs.Attr
	name string
	file vfs.File
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
	if name != d.name {
		return nil, syscall.ENOENT
	}
	return d.file, nil
}

// List implements vfs.Dir.
func (d *dir) List(ctx context.Context) (vfs.DirHandle, error) {
	return vfs.NewListing(func(ctx context.Context) ([]vfs.DirEntry, error) {
		return []vfs.DirEntry{{Name: d.name, ID: d.file.ID(), Type: vfs.TypeFile, Next: 1}}, ctx.Err()
	}), ctx.Err()
}

type file struct {
	s    *Server
	attr vfs.Attr
}

// ID implements vfs.Node.
func (f *file) ID() uint64 { return f.attr.ID }

// Type implements vfs.Node.
func (f *file) Type() vfs.Type { return vfs.TypeFile }

// Attr implements vfs.Node.
func (f *file) Attr(ctx context.Context) (vfs.Attr, error) { return f.attr, ctx.Err() }

// Open implements vfs.File.
func (f *file) Open(ctx context.Context) (vfs.Handle, error) {
	c := &exchange{s: f.s, own: shared{f.s}, mu: semaphore.NewWeighted(1)}
	if f.s.Open != nil {
		c.own = f.s.Open()
	}
	return c, ctx.Err()
}

// An exchange is one open rpc file.
type exchange struct {
	s   *Server
	own Own

	mu       *semaphore.Weighted // the lock on what follows
	request  []byte
	answer   []byte
	err      error
	answered bool // answer and err are those to request

	holds atomic.Int64 // bytes of request and answer
}

// WriteAt implements vfs.Writer.
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
	if len(c.request)+len(p) > c.s.Most {
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
		c.answer, c.err = c.own.Answer(ctx, c.request)
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
	if c.answer == nil {
		return
	}
	if c.s.Recycle != nil {
		c.s.Recycle(c.answer)
	}
	c.answer = nil
	c.holds.Store(int64(cap(c.request)))
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
