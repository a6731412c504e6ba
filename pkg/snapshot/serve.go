package snapshot

import (
	"context"
	"syscall"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// SweepFile is the name of the rpc file in a snapshot tree.
const SweepFile = "sweep"

// A Source makes the answer to a request. It is called concurrently; the answer
// must not change afterwards.
type Source func(ctx context.Context, req Request) ([]byte, error)

// NewDir makes the root of a snapshot tree: a directory with one rpc file, for
// which each open is one exchange. A request is written, from offset 0 on; the
// first read has take make the answer, and the answer stays the same until the
// file is closed or another request is written. attr is the directory's.
func NewDir(id uint64, attr vfs.Attr, take Source) vfs.Dir {
	attr.ID = id
	return &dir{attr: attr, take: take}
}

type dir struct {
	attr vfs.Attr
	take Source
}

func (d *dir) ID() uint64     { return d.attr.ID }
func (d *dir) Type() vfs.Type { return vfs.TypeDir }

func (d *dir) Attr(context.Context) (vfs.Attr, error) { return d.attr, nil }

func (d *dir) Walk(_ context.Context, name string) (vfs.Node, error) {
	if name != SweepFile {
		return nil, syscall.ENOENT
	}
	return &file{d}, nil
}

func (d *dir) List(context.Context) (vfs.DirHandle, error) {
	return vfs.NewListing(func(context.Context) ([]vfs.DirEntry, error) {
		f := file{d}
		return []vfs.DirEntry{{Name: SweepFile, ID: f.ID(), Type: vfs.TypeFile, Next: 1}}, nil
	}), nil
}

type file struct{ d *dir }

func (f *file) ID() uint64     { return f.d.attr.ID ^ 1<<63 }
func (f *file) Type() vfs.Type { return vfs.TypeFile }

func (f *file) Attr(context.Context) (vfs.Attr, error) {
	a := f.d.attr
	a.ID, a.Mode, a.Nlink, a.Size = f.ID(), uint32(vfs.TypeFile)|0o600, 1, 0
	return a, nil
}

func (f *file) Open(context.Context) (vfs.Handle, error) {
	c := &exchange{take: f.d.take, turn: make(chan struct{}, 1)}
	c.turn <- struct{}{}
	return c, nil
}

// exchange is one open rpc file.
type exchange struct {
	take Source

	turn    chan struct{} // holds a token: the lock on what follows
	request []byte
	answer  []byte
	err     error
	asked   bool // answer and err are those to request
}

func (c *exchange) lock(ctx context.Context) error {
	select {
	case <-c.turn:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *exchange) unlock() { c.turn <- struct{}{} }

// WriteAt implements vfs.Writer. Writing at 0 begins another request.
func (c *exchange) WriteAt(ctx context.Context, p []byte, off int64) (int, error) {
	if err := c.lock(ctx); err != nil {
		return 0, err
	}
	defer c.unlock()
	if off == 0 {
		c.request, c.answer, c.err, c.asked = nil, nil, nil, false
	}
	if off != int64(len(c.request)) || c.asked {
		return 0, syscall.EINVAL
	}
	if len(c.request)+len(p) > MaxRequest {
		return 0, syscall.EFBIG
	}
	c.request = append(c.request, p...)
	return len(p), nil
}

// ReadAt implements vfs.Handle.
func (c *exchange) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	if err := c.lock(ctx); err != nil {
		return 0, err
	}
	defer c.unlock()
	if !c.asked {
		req, err := DecodeRequest(c.request)
		if err != nil {
			return 0, syscall.EINVAL
		}
		c.answer, c.err = c.take(ctx, req)
		c.asked = true
	}
	if c.err != nil {
		return 0, c.err
	}
	if off < 0 || off >= int64(len(c.answer)) {
		return 0, nil
	}
	return copy(p, c.answer[off:]), nil
}

// Close implements vfs.Handle.
func (c *exchange) Close() error { return nil }
