package ninep

import (
	"cmp"
	"context"
	"hash/fnv"
	"slices"
	"strconv"
	"syscall"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

const (
	// maxStat is the longest entry that our own server sends: 49 bytes and four
	// strings.
	maxStat = 49 + vfs.MaxName + 3*maxOwner
	// maxPlainDir bounds a directory that is read from a server of 9P2000, in
	// bytes of its stats.
	maxPlainDir = 64 << 20
)

// listPlain opens a directory of a server of 9P2000. There a directory can only
// be read in one go from its start, so it is read whole, and each entry's Next is
// made of its name: reading resumes behind any entry, whatever came and went.
func (n *dirNode) listPlain(ctx context.Context) (vfs.DirHandle, error) {
	first, err := n.readPlain(ctx)
	if err != nil {
		return nil, err
	}
	return vfs.NewListing(func(ctx context.Context) ([]vfs.DirEntry, error) {
		if entries := first; entries != nil { // the opening has read them
			first = nil
			return entries, nil
		}
		return n.readPlain(ctx)
	}), nil
}

// readPlain reads the whole directory. A directory of more than maxPlainDir is
// E2BIG.
func (n *dirNode) readPlain(ctx context.Context) ([]vfs.DirEntry, error) {
	c := n.root.c
	ex := c.newExchange()
	if err := ex.walk(&n.node, nil); err != nil {
		return nil, err
	}
	open := ex.add(call{typ: tLopen, fid: ex.fid, flags: flagRead})
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
	fid, entries, size := ex.fid, read.entries, uint64(read.n)
	more := c.morePlain(read)
	ex.recycle()
	defer c.discard(fid)
	for more {
		if size > maxPlainDir {
			return nil, syscall.E2BIG
		}
		ex := c.newExchange()
		k := ex.add(call{typ: tReaddir, fid: fid, offset: size, count: c.msize - readOverhead})
		if err := ex.do(ctx); err != nil {
			return nil, err
		}
		err, more = k.err, c.morePlain(k)
		entries, size = append(entries, k.entries...), size+uint64(k.n)
		ex.release()
		if err != nil {
			return nil, err
		}
	}
	return inOrder(entries), nil
}

// morePlain reports whether more may follow the answer to a read of a directory.
func (c *Client) morePlain(k *call) bool {
	return k.n > 0 && (c.cfg.Foreign || k.n+maxStat >= k.count)
}

// inOrder sorts entries by a Next that is made of their names. It is never nil.
func inOrder(entries []vfs.DirEntry) []vfs.DirEntry {
	for i := range entries {
		entries[i].Next = nextOf(entries[i].Name)
	}
	slices.SortFunc(entries, func(a, b vfs.DirEntry) int {
		return cmp.Or(cmp.Compare(a.Next, b.Next), cmp.Compare(a.Name, b.Name))
	})
	entries = slices.CompactFunc(entries, func(a, b vfs.DirEntry) bool { return a.Name == b.Name })
	for i := 1; i < len(entries); i++ { // two names of one hash
		entries[i].Next = max(entries[i].Next, entries[i-1].Next+1)
	}
	if entries == nil {
		entries = []vfs.DirEntry{}
	}
	return entries
}

// nextOf is the offset behind the entry of that name: pids come first, in order,
// and other names where their hash says.
func nextOf(name string) uint64 {
	const others = 1 << 62
	if n, err := strconv.ParseUint(name, 10, 32); err == nil && strconv.FormatUint(n, 10) == name {
		return n + 1
	}
	h := fnv.New64a()
	h.Write([]byte(name))
	return others | h.Sum64()>>2
}
