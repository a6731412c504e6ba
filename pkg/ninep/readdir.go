package ninep

import (
	"context"
	"sync"
	"syscall"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// entryGuess is about what an entry of a directory takes in an answer, in bytes;
// maxEntries bounds how many are asked of the tree at once.
const (
	entryGuess = 32
	maxEntries = 512
)

// An entryBatch is room for as many.
type entryBatch struct{ entries []vfs.DirEntry }

var entryBatches = sync.Pool{New: func() any { return new(entryBatch) }}

// free gives the room to the next one, without the names in it.
func (b *entryBatch) free() {
	clear(b.entries[:cap(b.entries)])
	entryBatches.Put(b)
}

// readdir fills the answer with whole entries. It is as full as it can be unless
// the directory ends: our client relies on that. "." and ".." are not listed:
// the tree has no offsets for them, and Linux does not need them.
func (c *conn) readdir(ctx context.Context, j *job, f *fid) error {
	if !f.open {
		return errFidNotOpen
	}
	if f.dir == nil {
		return syscall.ENOTDIR
	}
	limit, offset := int(c.limit(&j.req)), j.req.offset
	buf := j.scratch[:0]
	batch := entryBatches.Get().(*entryBatch)
	defer batch.free()
	for {
		ask := min(max((limit-len(buf))/entryGuess, 1), maxEntries)
		var err error
		if batch.entries, err = c.entries(ctx, f, offset, batch.entries[:0], ask); err != nil {
			return err
		}
		size := 0
		for i := range batch.entries {
			size += entryHead + 2 + len(batch.entries[i].Name)
		}
		room := min(size, limit-len(buf)+maxEntrySize)
		if err := c.furnish(j, len(buf)+room); err != nil {
			return err
		}
		buf = c.grow(j, buf, room)
		taken := 0
		if buf, taken = c.appendEntries(buf, batch.entries, limit); taken > 0 {
			offset = batch.entries[taken-1].Next
		}
		if taken < len(batch.entries) && len(buf) == 0 {
			return syscall.EINVAL // no room for even one
		}
		if taken < len(batch.entries) || taken == 0 {
			break
		}
	}
	j.scratch, j.rep.data = buf, buf
	return nil
}

// entries is ReadDir of what is open at f, whose listing is counted.
func (c *conn) entries(ctx context.Context, f *fid, offset uint64, dst []vfs.DirEntry, most int) ([]vfs.DirEntry, error) {
	all, err := f.dir.ReadDir(ctx, offset, dst, most)
	if grown := c.weigh(f); err == nil {
		err = grown
	}
	return all, err
}

// appendEntries appends the entries that fit within limit bytes and says how
// many those are.
func (c *conn) appendEntries(buf []byte, entries []vfs.DirEntry, limit int) ([]byte, int) {
	for i := range entries {
		n := len(buf)
		if buf = c.dialect.appendEntry(buf, &entries[i], nil); len(buf) > limit {
			return buf[:n], i
		}
	}
	return buf, len(entries)
}
