package ninep

import (
	"context"
	"syscall"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// entryGuess is about what an entry of a directory takes in an answer, in bytes;
// maxEntries bounds how many are asked of the tree at once.
const (
	entryGuess = 32
	maxEntries = 4096
)

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
	for {
		ask := min(max((limit-len(buf))/entryGuess, 1), maxEntries)
		var err error
		if f.entries, err = f.dir.ReadDir(ctx, offset, f.entries[:0], ask); err != nil {
			return err
		}
		taken := 0
		if buf, taken = c.appendEntries(buf, f.entries, limit); taken > 0 {
			offset = f.entries[taken-1].Next
		}
		if taken < len(f.entries) && len(buf) == 0 {
			return syscall.EINVAL // no room for even one
		}
		if taken < len(f.entries) || taken == 0 {
			break
		}
	}
	if cap(f.entries) > maxEntries/4 {
		f.entries = nil
	}
	j.scratch, j.rep.data = buf, buf
	return nil
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
