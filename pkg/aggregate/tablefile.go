package aggregate

import (
	"context"
	"time"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// tableFile is a file of a process that sweeps bring. It holds no bytes and no
// table: a front may hold it for as long as the process lives, and longer.
type tableFile struct {
	remoteFile
	k int
}

// content returns the file as the table has it, rewritten, or ok false where
// there is no good table. keep is how much longer it is good.
func (f *tableFile) content() (bytes []byte, keep time.Duration, ok bool, err error) {
	t, i, keep := f.n.row(f.proc.pid, f.proc.leaf)
	if t == nil {
		return nil, 0, false, nil
	}
	raw, errno := t.File(i, f.k)
	if errno != 0 {
		return nil, keep, true, errno
	}
	bytes, err = f.proc.rewrite(f.path[1:], raw)
	return bytes, keep, true, err
}

// Attr implements vfs.Node, with the exact size.
func (f *tableFile) Attr(ctx context.Context) (vfs.Attr, error) {
	f.renew(ctx)
	c, keep, ok, _ := f.content()
	if !ok {
		return f.remoteFile.Attr(ctx)
	}
	a := f.attr
	if t, i, _ := f.n.row(f.proc.pid, f.proc.leaf); t != nil {
		a = rowFileAttr(t, i, 0o444, keep)
	}
	a.ID, a.Size = f.id, uint64(len(c))
	return a, nil
}

// Preview is Attr: it costs nothing here.
func (f *tableFile) Preview() vfs.Attr {
	if t, _, _ := f.n.row(f.proc.pid, f.proc.leaf); t == nil {
		return f.remoteFile.Preview()
	}
	a, _ := f.Attr(context.Background())
	return a
}

// Open implements vfs.File.
func (f *tableFile) Open(ctx context.Context) (vfs.Handle, error) {
	f.renew(ctx)
	c, keep, ok, err := f.content()
	if !ok {
		return f.remoteFile.Open(ctx)
	}
	if err != nil {
		return nil, err
	}
	return vfs.NewBytes(c, keep), nil
}
