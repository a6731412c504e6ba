package ninep

import (
	"context"
	"errors"
	"runtime"
	"syscall"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// An RWOpener is a file that can be opened for writing as well as reading, as
// rpc files are: a request is written and the answer read, on one open file.
// The files of a Client are; a client opens a file for reading in one exchange
// and must be told if it is to be written to.
type RWOpener interface {
	// OpenRW is vfs.File's Open, but the handle is also a vfs.Writer. A file
	// that takes no writes is EROFS.
	OpenRW(ctx context.Context) (vfs.Handle, error)
}

// OpenRW opens a node for reading and writing, whether it is behind a Client or
// in a tree of this process. The handle is a vfs.Writer.
func OpenRW(ctx context.Context, n vfs.Node) (vfs.Handle, error) {
	switch f := n.(type) {
	case RWOpener:
		return f.OpenRW(ctx)
	case vfs.File:
		h, err := f.Open(ctx)
		if err != nil {
			return nil, err
		}
		if _, ok := h.(vfs.Writer); !ok {
			h.Close()
			return nil, syscall.EROFS
		}
		return h, nil
	case vfs.Dir:
		return nil, syscall.EISDIR
	}
	return nil, syscall.ELOOP
}

// Open implements vfs.File.
func (n *fileNode) Open(ctx context.Context) (vfs.Handle, error) {
	h, _, err := n.open(ctx, nil)
	return h, err
}

// OpenRW implements RWOpener.
func (n *fileNode) OpenRW(ctx context.Context) (vfs.Handle, error) {
	f, _, err := n.openKeep(ctx, nil, flagReadWrite)
	if err != nil {
		return nil, err
	}
	return &rwFile{*f}, nil
}

// OpenPath implements vfs.PathOpener.
func (n *dirNode) OpenPath(ctx context.Context, names ...string) (vfs.Handle, []uint64, error) {
	return n.open(ctx, names)
}

// open has a file in one exchange, if it fits one answer: walk, open, read and
// clunk are sent at once. A longer one is opened again, to be read as needed.
func (n *node) open(ctx context.Context, names []string) (vfs.Handle, []uint64, error) {
	c := n.root.c
	if c.cfg.Foreign {
		return handleOf(n.openKeep(ctx, names, flagRead))
	}
	ex := c.newExchange()
	if err := ex.walk(n, names); err != nil {
		return nil, nil, err
	}
	open := ex.add(call{typ: tLopen, fid: ex.fid, flags: flagRead})
	read := ex.add(call{typ: tRead, fid: ex.fid, count: c.msize - readOverhead})
	ex.clunk()
	if err := ex.do(ctx); err != nil {
		return nil, nil, err
	}
	qids, err := ex.arrived(n, names)
	if err == nil {
		err = fileAt(qids)
	}
	if err == nil {
		err = open.err
	}
	if err == nil {
		err = read.err
	}
	content, full := read.result, read.n == read.count
	ex.release()
	runtime.KeepAlive(n.root)
	if err != nil {
		return nil, nil, n.explain(ctx, names, err)
	}
	if full {
		clear(content)
		return handleOf(n.openKeep(ctx, names, flagRead))
	}
	return vfs.NewOnce(content), idsOf(qids), nil
}

// fileAt refuses a walk that has ended at anything but a file: 9P2000 opens and
// reads links and directories too.
func fileAt(qids []qid) error {
	if len(qids) == 0 {
		return nil
	}
	switch qids[len(qids)-1].nodeType() {
	case vfs.TypeDir:
		return syscall.EISDIR
	case vfs.TypeLink:
		return syscall.ELOOP
	}
	return nil
}

// handleOf keeps a nil file from becoming a handle that is not nil.
func handleOf(f *remoteFile, ids []uint64, err error) (vfs.Handle, []uint64, error) {
	if err != nil {
		return nil, nil, err
	}
	return f, ids, nil
}

// openKeep opens a file and keeps the fid.
func (n *node) openKeep(ctx context.Context, names []string, flags uint32) (*remoteFile, []uint64, error) {
	ex := n.root.c.newExchange()
	if err := ex.walk(n, names); err != nil {
		return nil, nil, err
	}
	open := ex.add(call{typ: tLopen, fid: ex.fid, flags: flags})
	if err := ex.do(ctx); err != nil {
		return nil, nil, err
	}
	qids, err := ex.arrived(n, names)
	if err == nil {
		err = fileAt(qids)
	}
	if err == nil {
		err = open.err
	}
	if err == nil && open.qids[0].nodeType() == vfs.TypeDir {
		err = syscall.EISDIR
	}
	if err != nil {
		ex.release()
		return nil, nil, n.explain(ctx, names, err)
	}
	f := &remoteFile{root: n.root, fid: ex.fid}
	ex.recycle()
	return f, idsOf(qids), nil
}

// A remoteFile is an open file at the server. It holds a fid until Close.
type remoteFile struct {
	root *root
	fid  uint32
}

// A long read is asked for in parts: so many at once, of so many bytes, since what
// fits the CPU's cache is copied faster.
const (
	maxReads = 8
	maxPart  = 128 << 10
)

// ReadAt implements vfs.Handle.
func (f *remoteFile) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	c := f.root.c
	n := 0
	for n < len(p) {
		ex := c.newExchange()
		for at := n; at < len(p) && len(ex.calls) < maxReads; {
			part := p[at:min(len(p), at+int(min(c.msize-readOverhead, maxPart)))]
			ex.add(call{typ: tRead, fid: f.fid, offset: uint64(off) + uint64(at), count: uint32(len(part)), into: part})
			at += len(part)
			if c.cfg.Foreign { // it may give less than it has
				break
			}
		}
		if err := ex.do(ctx); err != nil {
			return n, err
		}
		m, full, err := arrivedParts(ex.calls)
		ex.release()
		n += m
		if err != nil {
			return n, err
		}
		if m == 0 || !full && !c.cfg.Foreign {
			break
		}
	}
	return n, nil
}

// arrivedParts is how many bytes consecutive reads have brought, up to the first
// that is short or failed, and whether none is short.
func arrivedParts(reads []*call) (n int, full bool, err error) {
	for _, k := range reads {
		if k.err != nil {
			return n, false, k.err
		}
		n += int(k.n)
		if k.n < k.count {
			return n, false, nil
		}
	}
	return n, true, nil
}

// Close implements vfs.Handle.
func (f *remoteFile) Close() error {
	f.root.c.discard(f.fid)
	return nil
}

// An rwFile is a remoteFile that takes writes.
type rwFile struct{ remoteFile }

// Ask writes a request to an rpc file and reads the start of its answer, in one
// exchange where the server is one that carries out the requests of a fid in order.
func (f *rwFile) Ask(ctx context.Context, request, answer []byte) (int, error) {
	c := f.root.c
	if c.cfg.Foreign || len(request) > int(c.msize-writeOverhead) {
		if _, err := f.WriteAt(ctx, request, 0); err != nil {
			return 0, err
		}
		return f.ReadAt(ctx, answer, 0)
	}
	part := answer[:min(len(answer), int(min(c.msize-readOverhead, maxPart)))]
	ex := c.newExchange()
	write := ex.add(call{typ: tWrite, fid: f.fid, data: request})
	read := ex.add(call{typ: tRead, fid: f.fid, count: uint32(len(part)), into: part})
	if err := ex.do(ctx); err != nil {
		return 0, err
	}
	taken, n, err := int(write.n), int(read.n), errors.Join(write.err, read.err)
	if write.err != nil {
		err = write.err
	}
	ex.release()
	switch {
	case err != nil:
		return 0, err
	case taken < len(request):
		return 0, syscall.EIO
	case n < len(part) || len(part) == len(answer):
		return n, nil
	}
	m, err := f.ReadAt(ctx, answer[n:], int64(n))
	return n + m, err
}

// WriteAt implements vfs.Writer.
func (f *rwFile) WriteAt(ctx context.Context, p []byte, off int64) (int, error) {
	c := f.root.c
	n := 0
	for n < len(p) {
		part := p[n:min(len(p), n+int(c.msize-writeOverhead))]
		ex := c.newExchange()
		k := ex.add(call{typ: tWrite, fid: f.fid, offset: uint64(off) + uint64(n), data: part})
		if err := ex.do(ctx); err != nil {
			return n, err
		}
		m, err := int(k.n), k.err
		ex.release()
		if err != nil {
			return n, err
		}
		n += m
		if m < len(part) {
			break
		}
	}
	return n, nil
}
