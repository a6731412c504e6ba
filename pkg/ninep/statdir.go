package ninep

import (
	"context"
	"syscall"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// readStats is a read of a directory in Plan 9's dialect (read(5)): whole stats,
// from the start or from where the last read ended. An entry that ends meanwhile
// is left out; of one that tells nothing of itself no more is said than the
// listing did.
func (c *conn) readStats(ctx context.Context, j *job, f *fid) error {
	limit, next := int(c.limit(&j.req)), f.resume
	switch j.req.offset {
	case 0:
		next = 0
	case f.offset:
	default:
		return syscall.ESPIPE
	}
	buf := j.scratch[:0]
	batch := entryBatches.Get().(*entryBatch)
	defer batch.free()
	for full := false; !full; {
		ask := min(max((limit-len(buf))/statGuess, 1), maxEntries)
		var err error
		if batch.entries, err = c.entries(ctx, f, next, batch.entries[:0], ask); err != nil {
			return err
		}
		if err := c.furnish(j, min(len(buf)+ask*statGuess, limit)); err != nil {
			return err
		}
		for i := range batch.entries {
			n := len(buf)
			if buf, err = c.appendStat(ctx, buf, f.at, &batch.entries[i]); err != nil {
				return err
			}
			if full = len(buf) > limit; full {
				buf = buf[:n]
				break
			}
			next = batch.entries[i].Next
		}
		if len(batch.entries) == 0 {
			break
		}
		if full && len(buf) == 0 {
			if j.req.offset == 0 {
				return syscall.EINVAL // no room for even one
			}
			// Linux's client fills what an answer left of its buffer with another
			// read, and takes an error for that of the directory.
			break
		}
	}
	f.offset, f.resume = j.req.offset+uint64(len(buf)), next
	j.scratch, j.rep.data = buf, buf
	return nil
}

// statGuess is about what a stat takes in an answer, in bytes.
const statGuess = 64

// appendStat appends the stat of an entry of dir, if it still exists.
func (c *conn) appendStat(ctx context.Context, buf []byte, dir *place, e *vfs.DirEntry) ([]byte, error) {
	entry, attr := *e, vfs.Attr{UID: vfs.NoID, GID: vfs.NoID}
	at, err := c.enter(ctx, dir, e.Name)
	if err == nil {
		entry.ID, entry.Type = at.id, at.node.Type()
		var a vfs.Attr
		if a, err = at.node.Attr(ctx); err == nil {
			attr = a
		}
	}
	if ended := ctx.Err(); ended != nil {
		return buf, ended
	}
	switch vfs.Errno(err) {
	case syscall.ENOENT, syscall.ESRCH:
		return buf, nil
	}
	return c.dialect.appendEntry(buf, &entry, &attr), nil
}
