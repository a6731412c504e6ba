package procfs9p

import (
	"bytes"
	"context"
	"crypto/sha256"
	"io"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/aggrfs/aggrfs/internal/procfile"
	"github.com/aggrfs/aggrfs/pkg/vfs"
	"golang.org/x/sys/unix"
)

// object is something below a procfs.
type object struct {
	Path string
	Type vfs.Type
	Pids []string // of a listing of the root: those that count
}

// seen is what somebody sees of an object.
type seen struct {
	Stat, Use     syscall.Errno // of lstat(2), and of reading, listing or readlink(2)
	Mode, UID     uint32
	GID           uint32
	Sum           [sha256.Size]byte // of the content, the names or the text
	Masked, Start string            // see masks; the first bytes, to be shown
}

func (s *seen) keep(o object, content []byte) {
	if pid, file, _ := strings.Cut(o.Path, "/"); isPID(pid) && procfile.InThread(file) == "sched" {
		content = withoutClock(content)
	}
	s.Sum, s.Masked = sha256.Sum256(content), masks(o.Path, content)
	s.Start = string(content[:min(len(content), 60)])
}

// withoutClock is a sched file without the one line of it that differs at every read: how
// long it takes to read the clock twice (proc_sched_show_task in kernel/sched/debug.c).
func withoutClock(sched []byte) []byte {
	var rest []byte
	for line := range bytes.Lines(sched) {
		if !bytes.HasPrefix(line, []byte("clock-delta")) {
			rest = append(rest, line...)
		}
	}
	return rest
}

// maskedFields are the fields of stat that are not shown to everyone.
var maskedFields = []int{26, 27, 28, 29, 30, 35, 45, 46, 47, 48, 49, 50, 51, 52}

// masks is that part of a file which the kernel does not show to everyone,
// where the file is readable by everyone.
func masks(path string, content []byte) string {
	pid, file, ofProcess := strings.Cut(path, "/")
	switch {
	case ofProcess && isPID(pid) && procfile.InThread(file) == "stat":
		_, tail, _ := strings.Cut(string(content[strings.LastIndexByte(string(content), ')')+1:]), " ")
		fields := strings.Fields(tail)
		var masked []string
		for _, f := range maskedFields {
			if f-3 < len(fields) {
				masked = append(masked, fields[f-3])
			}
		}
		return strings.Join(masked, " ")
	case ofProcess && isPID(pid) && procfile.InThread(file) == "wchan":
		return string(content)
	case path == "kallsyms", path == "modules", path == "iomem", path == "ioports":
		if hasAddress(content) {
			return "addresses"
		}
		return "no addresses"
	}
	return ""
}

// hasAddress reports whether there is a hexadecimal number of eight digits or more
// that is not zero.
func hasAddress(content []byte) bool {
	digits, zero := 0, true
	for _, c := range content {
		if c >= '0' && c <= '9' || c >= 'a' && c <= 'f' {
			if digits++; c != '0' {
				zero = false
			}
			if digits >= 8 && !zero {
				return true
			}
			continue
		}
		digits, zero = 0, true
	}
	return false
}

func isPID(name string) bool {
	_, ok := parsePID(name)
	return ok
}

// neverExported reports whether o, or a directory on the way to it, is hidden.
func (o object) neverExported() bool {
	pid, rel, _ := strings.Cut(o.Path, "/")
	if isPID(pid) {
		return procfile.Process.Hidden(rel)
	}
	return procfile.Root.Hidden(o.Path)
}

// lookNatively makes the system calls; not on what does harm when it is read.
func lookNatively(o object) (s seen) {
	const procfs = 3
	if o.neverExported() {
		return s
	}
	var st unix.Stat_t
	s.Stat = vfs.Errno(unix.Fstatat(procfs, o.Path, &st, unix.AT_SYMLINK_NOFOLLOW))
	s.Mode, s.UID, s.GID = st.Mode, st.Uid, st.Gid
	if o.Type == vfs.TypeLink {
		buf := make([]byte, 8192)
		n, err := unix.Readlinkat(procfs, o.Path, buf)
		if s.Use = vfs.Errno(err); err == nil {
			s.keep(o, buf[:n])
		}
		return s
	}
	fd, err := unix.Openat(procfs, o.Path, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if s.Use = vfs.Errno(err); err != nil {
		return s
	}
	f := os.NewFile(uintptr(fd), o.Path)
	defer f.Close()
	if o.Type == vfs.TypeDir {
		names, err := f.Readdirnames(-1)
		if s.Use = vfs.Errno(err); err == nil {
			s.keep(o, joinNames(o, names))
		}
		return s
	}
	content, err := io.ReadAll(f)
	if s.Use = vfs.Errno(err); err == nil {
		s.keep(o, content)
	}
	return s
}

// standing is a context of requests that can be left behind where they are, so
// that the leaf makes no call apart.
type standing struct{ context.Context }

func (standing) Expose(func()) bool { return true }
func (standing) Cover() bool        { return true }
func (standing) Leave(error)        {}

// joinNames is a listing, without what is never exported.
func joinNames(dir object, names []string) []byte {
	pid, rel, _ := strings.Cut(dir.Path, "/")
	names = slices.DeleteFunc(names, func(name string) bool {
		switch {
		case dir.Path == ".":
			return isPID(name) && !slices.Contains(dir.Pids, name) || procfile.Root.Hidden(name)
		case isPID(pid):
			return procfile.Process.Hidden(strings.TrimPrefix(rel+"/"+name, "/"))
		}
		return procfile.Root.Hidden(dir.Path + "/" + name)
	})
	slices.Sort(names)
	return []byte(strings.Join(names, "\n"))
}

// lookThrough is what who sees of an object through the leaf.
func lookThrough(ctx context.Context, root vfs.Dir, o object) (s seen) {
	names := strings.Split(o.Path, "/")
	if o.Path == "." {
		names = nil
	}
	n, _, err := vfs.WalkPath(ctx, root, names...)
	if err == nil {
		var a vfs.Attr
		a, err = n.Attr(ctx)
		s.Mode, s.UID, s.GID = a.Mode, a.UID, a.GID
	}
	s.Stat = vfs.Errno(err)
	var content []byte
	switch o.Type {
	case vfs.TypeFile:
		content, err = vfs.ReadFile(ctx, root, 64<<20, names...)
	case vfs.TypeLink:
		if err == nil {
			var text string
			text, err = n.(vfs.Link).Readlink(ctx)
			content = []byte(text)
		}
	case vfs.TypeDir:
		if err == nil {
			content, err = listThrough(ctx, n.(vfs.Dir), o)
		}
	}
	if s.Use = vfs.Errno(err); err == nil {
		s.keep(o, content)
	}
	return s
}

func listThrough(ctx context.Context, d vfs.Dir, o object) ([]byte, error) {
	h, err := d.List(ctx)
	if err != nil {
		return nil, err
	}
	defer h.Close()
	entries, err := h.ReadDir(ctx, 0, nil, 1<<20)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name)
	}
	return joinNames(o, names), err
}
