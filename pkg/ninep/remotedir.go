package ninep

import (
	"context"
	"syscall"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// maxEntrySize is the longest entry of an Rreaddir: qid[13] offset[8] type[1]
// name[s]. An answer with that much room left is the directory's last.
const maxEntrySize = qidSize + 8 + 1 + 2 + vfs.MaxName

// List implements vfs.Dir. The first entries come with the opening.
func (n *dirNode) List(ctx context.Context) (vfs.DirHandle, error) {
	c := n.root.c
	if c.plain {
		return n.listPlain(ctx)
	}
	ex := c.newExchange()
	if err := ex.walk(&n.node, nil); err != nil {
		return nil, err
	}
	open := ex.add(call{typ: tLopen, fid: ex.fid, flags: flagRead | flagDirectory})
	read := ex.add(call{typ: tReaddir, fid: ex.fid, count: c.msize - readOverhead})
	if err := ex.do(ctx); err != nil {
		return nil, err
	}
	_, err := ex.arrived(&n.node, nil)
	if err == nil {
		err = open.err
	}
	if err == nil {
		err = read.err
	}
	if err != nil {
		ex.release()
		return nil, n.explain(ctx, nil, err)
	}
	d := &remoteDir{root: n.root, fid: ex.fid, block: make(chan dirBlock, 1)}
	b := d.blockOf(read)
	b.fresh = true
	d.block <- b
	ex.recycle()
	return d, nil
}

// A remoteDir is an open directory at the server. It holds a fid until Close.
type remoteDir struct {
	root  *root
	fid   uint32
	block chan dirBlock // holds one: the lock and what it guards
}

// A dirBlock is the entries of one answer, which are consecutive.
type dirBlock struct {
	entries []vfs.DirEntry
	next    int    // where the last ReadDir stopped
	resume  uint64 // the offset behind the block
	end     bool   // nothing comes behind it
	fresh   bool   // it is the directory's start, and nobody has read it yet
}

// ReadDir implements vfs.DirHandle.
func (d *remoteDir) ReadDir(ctx context.Context, offset uint64, dst []vfs.DirEntry, max int) ([]vfs.DirEntry, error) {
	var b dirBlock
	select {
	case b = <-d.block:
	case <-ctx.Done():
		return dst, ctx.Err()
	}
	defer func() { d.block <- b }()
	if max <= 0 {
		return dst, nil
	}
	if !b.seek(offset) {
		for ask := offset; ; ask = b.resume { // more than once only past entries that are left out
			fetched, err := d.fetch(ctx, ask)
			if err != nil {
				return dst, err
			}
			b = fetched
			if b.end || len(b.entries) > 0 {
				break
			}
			if b.resume == ask {
				return dst, syscall.EIO
			}
		}
	}
	n := min(max, len(b.entries)-b.next)
	dst = append(dst, b.entries[b.next:b.next+n]...)
	b.next += n
	return dst, nil
}

// seek finds where reading goes on behind offset, and reports whether the block
// has it: at the block's end only if the directory ends there.
func (b *dirBlock) seek(offset uint64) bool {
	if offset == 0 {
		fresh := b.fresh
		b.fresh, b.next = false, 0
		return fresh && (b.end || len(b.entries) > 0)
	}
	if b.next == 0 || b.entries[b.next-1].Next != offset {
		b.next = 0
		for i := range b.entries {
			if b.entries[i].Next == offset {
				b.next = i + 1
				break
			}
		}
	}
	b.fresh = false
	return b.next > 0 && (b.next < len(b.entries) || b.end)
}

func (d *remoteDir) fetch(ctx context.Context, offset uint64) (dirBlock, error) {
	c := d.root.c
	ex := c.newExchange()
	k := ex.add(call{typ: tReaddir, fid: d.fid, offset: offset, count: c.msize - readOverhead})
	if err := ex.do(ctx); err != nil {
		return dirBlock{}, err
	}
	err := k.err
	b := d.blockOf(k)
	ex.release()
	return b, err
}

// blockOf is the answer to a Treaddir.
func (d *remoteDir) blockOf(k *call) dirBlock {
	b := dirBlock{entries: k.entries, resume: k.resume, end: k.n == 0}
	if !d.root.c.cfg.Foreign && k.n+maxEntrySize < k.count {
		b.end = true
	}
	return b
}

// Close implements vfs.DirHandle.
func (d *remoteDir) Close() error {
	d.root.c.discard(d.fid)
	return nil
}
