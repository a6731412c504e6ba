package procfs9p

import (
	"cmp"
	"context"
	"encoding/binary"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"
	"syscall"

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
	raw, err := getdents(fd, nil, d.s.leaf.cfg.MaxFile)
	if err != nil {
		return nil, err
	}
	text := string(raw) // the names are parts of it
	entries := make([]vfs.DirEntry, 0, len(raw)/32)
	var pids []pidIno
	for e := range dirents(raw) {
		name := text[e.at : e.at+len(e.name)]
		if name == "." || name == ".." {
			continue
		}
		pid, isPID := parsePID(name)
		if isPID && d.isRoot() {
			id, err := d.processEntry(pid, e.ino)
			if err == nil {
				pids = append(pids, pidIno{pid, e.ino})
				entries = append(entries, vfs.DirEntry{Name: name, ID: id, Type: vfs.TypeDir, Next: place(name)})
			} else if !isGone(err) {
				return nil, err
			}
			continue
		}
		c := d.child(name, vfs.Type(e.typ)<<12)
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

// dirent is one entry of what getdents64(2) returns.
type dirent struct {
	ino  uint64
	typ  byte
	name []byte // part of the buffer
	at   int    // where the name starts in the buffer
}

// direntFixed is the size of struct linux_dirent64 before its name, in bytes.
const direntFixed = 19

// dirents are the entries in raw.
func dirents(raw []byte) func(yield func(dirent) bool) {
	return func(yield func(dirent) bool) {
		for off := 0; len(raw)-off > direntFixed; {
			p := raw[off:]
			size := int(binary.NativeEndian.Uint16(p[16:]))
			if size <= direntFixed || size > len(p) {
				return
			}
			name := p[direntFixed:size]
			if i := slices.Index(name, 0); i >= 0 {
				name = name[:i]
			}
			if !yield(dirent{binary.NativeEndian.Uint64(p), p[18], name, off + direntFixed}) {
				return
			}
			off += size
		}
	}
}

// getdents appends all entries of the directory open as fd to buf, which may
// grow to most bytes.
func getdents(fd int, buf []byte, most int) ([]byte, error) {
	const room = 32 << 10
	for {
		buf = slices.Grow(buf, room)
		n, err := unix.Getdents(fd, buf[len(buf):cap(buf)])
		if err == unix.EINTR {
			continue
		}
		if err != nil || n == 0 {
			return buf, err
		}
		if buf = buf[:len(buf)+n]; len(buf) > most {
			return buf, syscall.EFBIG
		}
	}
}
