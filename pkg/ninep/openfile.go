package ninep

import (
	"context"
	"syscall"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// The flags of Tlopen that matter here, which are those of open(2) on Linux
// whatever machine this is.
const (
	flagAccess    = 0o3
	flagRead      = 0o0
	flagReadWrite = 0o2
	flagTruncate  = 0o1000
	flagDirectory = 0o200000
)

const (
	firstRead   = 32 << 10 // bytes asked of a file first; doubled while there is more
	maxBigReads = 8        // reads of a connection that may need more memory than maxScratch at once
)

// openFid opens what f stands on. What changes nothing is allowed; a file opened
// for writing must be one that takes writes.
func (c *conn) openFid(ctx *reqCtx, j *job, f *fid) error {
	if f.open {
		return errAlreadyOpen
	}
	n, err := f.at.open(ctx)
	if err != nil {
		return err
	}
	writes := j.req.flags&flagAccess != flagRead || j.req.flags&flagTruncate != 0
	q := qidOf(n)
	switch n := n.(type) {
	case vfs.Dir:
		if writes {
			return syscall.EISDIR
		}
		if err := c.openDir(ctx, f, n); err != nil {
			return err
		}
	case vfs.File:
		if j.req.flags&flagDirectory != 0 {
			return syscall.ENOTDIR
		}
		ctx.allowLeaving(j)
		h, err := n.Open(ctx)
		if ctx.forbidLeaving() {
			if err == nil {
				c.close(h)
			}
			return errLeft
		}
		if err != nil {
			return err
		}
		if err := c.adopt(f, h, writes); err != nil {
			c.close(h)
			return err
		}
		q.version = f.version
	case vfs.Link:
		if err := c.openLink(ctx, f, n, writes); err != nil {
			return err
		}
		q.version = f.version
	default:
		return syscall.ELOOP
	}
	f.open = true
	j.rep.qids = append(j.rep.walked[:0], q)
	return nil
}

// openDir opens a directory for reading.
func (c *conn) openDir(ctx context.Context, f *fid, d vfs.Dir) error {
	h, err := d.List(ctx)
	if err != nil {
		return err
	}
	f.dir = h
	f.holder, _ = h.(vfs.Holder)
	if err := c.weigh(f); err != nil {
		f.dir, f.holder = nil, nil
		c.close(h)
		return err
	}
	return nil
}

// adopt makes h the fid's open file.
func (c *conn) adopt(f *fid, h vfs.Handle, writes bool) error {
	w, canWrite := h.(vfs.Writer)
	if writes && !canWrite {
		return syscall.EROFS
	}
	if held, ok := h.(vfs.Held); ok && !canWrite {
		content := held.Content()
		if err := c.pin(f, int64(len(content))); err != nil {
			return err
		}
		v := held.Version()
		f.held, f.content, f.version = true, content, uint32(v^v>>32)
	}
	f.file, f.writer = h, w
	if !f.held {
		f.holder, _ = h.(vfs.Holder)
	}
	return nil
}

// openLink opens a link, which only Plan 9's dialect can: its content is its text.
func (c *conn) openLink(ctx context.Context, f *fid, l vfs.Link, writes bool) error {
	if !c.dialect.plan9() {
		return syscall.ELOOP
	}
	text, err := l.Readlink(ctx)
	if err != nil {
		return err
	}
	return c.adopt(f, vfs.NewBytes([]byte(text), 0), writes)
}

func (c *conn) read(ctx context.Context, j *job, f *fid) error {
	switch {
	case f.dir != nil && c.dialect.plan9():
		return c.readStats(ctx, j, f)
	case f.dir != nil:
		return syscall.EISDIR
	case !f.open:
		return errFidNotOpen
	case f.held:
		data := c.slice(f, &j.req)
		if len(data) > maxScratch {
			if err := c.furnish(j, len(data)); err != nil {
				return err
			}
		}
		j.rep.data = data
		return nil
	case int64(j.req.offset) < 0:
		return syscall.EINVAL
	}
	data, err := c.readHandle(ctx, j, f.file, int64(j.req.offset), int(c.limit(&j.req)))
	j.rep.data, j.scratch = data, data
	if grown := c.weigh(f); err == nil {
		err = grown
	}
	return err
}

// readHandle reads at most limit bytes at off into j's scratch, which grows with what
// the file has, not with what the client asks for.
func (c *conn) readHandle(ctx context.Context, j *job, h vfs.Handle, off int64, limit int) ([]byte, error) {
	buf, n := j.scratch, 0
	for want := min(limit, firstRead); n < want; want = min(limit, 2*want) {
		if want > maxScratch && cap(buf) <= maxScratch {
			select {
			case c.bigReads <- struct{}{}:
				defer func() { <-c.bigReads }()
			case <-ctx.Done():
				return buf[:0], ctx.Err()
			}
		}
		if err := c.furnish(j, want); err != nil {
			return buf[:0], err
		}
		if cap(buf) < want {
			longer := append(make([]byte, 0, want), buf[:n]...)
			clear(buf[:n]) // what a file says is in no buffer longer than it must
			buf = longer
		}
		m, err := h.ReadAt(ctx, buf[n:want], off+int64(n))
		if err != nil && n == 0 {
			return buf[:0], err
		}
		if m < 0 || m > want-n {
			return buf[:0], syscall.EIO
		}
		if n += m; n < want || err != nil {
			break
		}
	}
	return buf[:n], nil
}

func (c *conn) write(ctx context.Context, j *job, f *fid) error {
	switch {
	case f.dir != nil:
		return syscall.EISDIR
	case !f.open:
		return errFidNotOpen
	case f.writer == nil:
		return syscall.EROFS
	case int64(j.req.offset) < 0:
		return syscall.EINVAL
	}
	n, err := f.writer.WriteAt(ctx, j.req.data, int64(j.req.offset))
	if err != nil {
		return err
	}
	if n < 0 || n > len(j.req.data) {
		return syscall.EIO
	}
	j.rep.count = uint32(n)
	return c.weigh(f)
}
