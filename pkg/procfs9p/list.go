package procfs9p

import (
	"cmp"
	"context"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"

	"github.com/aggrfs/aggrfs/pkg/procfs9p/dirents"
	"github.com/aggrfs/aggrfs/pkg/vfs"
	"golang.org/x/sys/unix"
)

// load reads a directory. Numbers come first, by rising value, and go on at
// the number plus one; all other names come by a hash of the name above 2^32.
// So an entry's place depends on nothing but its name, and a listing resumes
// whatever came and went.
func (d dir) load(ctx context.Context) ([]vfs.DirEntry, error) {
	entries, err := run(ctx, d.s, d.lockKey(), d.table().MayBlockIn(d.rel), d.readAll)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(entries, func(a, b vfs.DirEntry) int { return cmp.Compare(a.Next, b.Next) })
	for i := 1; i < len(entries); i++ { // equal hashes
		if entries[i].Next <= entries[i-1].Next {
			entries[i].Next = entries[i-1].Next + 1
		}
	}
	return entries, nil
}

// readAll reads the directory's entries, in the kernel's order.
func (d dir) readAll() ([]vfs.DirEntry, error) {
	fd, err := d.open(readDir, openDir)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	raw, err := dirents.Read(fd, nil, d.s.leaf.cfg.MaxFile)
	if err != nil {
		return nil, err
	}
	text := string(raw) // the names are parts of it
	entries := make([]vfs.DirEntry, 0, len(raw)/32)
	var pids []pidIno
	for e := range dirents.All(raw) {
		name := text[e.At : e.At+len(e.Name)]
		if name == "." || name == ".." {
			continue
		}
		pid, isPID := parsePID(name)
		if isPID && d.isRoot() {
			id, err := d.processEntry(pid, e.Ino)
			if err == nil {
				pids = append(pids, pidIno{pid, e.Ino})
				entries = append(entries, vfs.DirEntry{Name: name, ID: id, Type: vfs.TypeDir, Next: place(name)})
			} else if !isGone(err) {
				return nil, err
			}
			continue
		}
		c := d.child(name, vfs.Type(e.Type)<<12)
		if ok, err := d.exists(fd, &c); err != nil {
			return nil, err
		} else if ok {
			entries = append(entries, vfs.DirEntry{Name: name, ID: c.id, Type: c.typ, Next: place(name)})
		}
	}
	if d.isRoot() && d.s.who.IsRoot() {
		d.s.leaf.procs.keep(pids)
	}
	return entries, nil
}

// processEntry is the id of a process listed in the root. It does not exist if it
// is gone or must not be seen; any other error leaves that open.
func (d dir) processEntry(pid int32, ino uint64) (uint64, error) {
	l := d.s.leaf
	id, ok := l.procs.listed(pid, ino)
	if !ok {
		fd, opened, err := l.procs.open(pid)
		if err != nil {
			return 0, err
		}
		unix.Close(fd)
		id = opened
	}
	return id, node{s: d.s, pid: pid}.ownRefuses(id, lookUp)
}

// exists reports whether an entry of the directory open as fd is exported, and
// gives it its type where the kernel did not. Outside the processes an entry
// may be a mount; within them nobody mounts, and asking would cost a call for
// each entry. What may not be asked about is there all the same.
func (d dir) exists(fd int, c *node) (bool, error) {
	if c.table().Hidden(c.rel) {
		return false, nil
	}
	if d.pid == 0 || c.typ == 0 {
		var st unix.Statx_t
		err := statAt(fd, c.rel[strings.LastIndexByte(c.rel, '/')+1:], &st)
		switch {
		case err == nil:
			c.typ = vfs.Type(st.Mode & vfs.TypeMask)
		case isGone(err):
			return false, nil
		case isShortage(err) || c.typ == 0:
			return false, err
		}
	}
	return c.typ == vfs.TypeDir || c.typ == vfs.TypeFile || c.typ == vfs.TypeLink, nil
}

// place is where a name stands in its directory, see load.
func place(name string) uint64 {
	if n, err := strconv.ParseUint(name, 10, 32); err == nil && n < 1<<32-1 && (name[0] != '0' || name == "0") {
		return n + 1
	}
	h := fnv.New64a()
	h.Write([]byte(name))
	return 1<<32 + h.Sum64()>>2
}

// pidIno is a process as a listing of the root has it.
type pidIno struct {
	pid int32
	ino uint64
}
