package procfs9p

import (
	"context"
	"slices"
	"strings"
	"syscall"

	"github.com/aggrfs/aggrfs/pkg/vfs"
	"golang.org/x/sys/unix"
)

type file struct{ node }

var _ vfs.File = file{}

// Open implements vfs.File: it reads the whole file.
func (f file) Open(ctx context.Context) (vfs.Handle, error) {
	if f.pid == 0 && ownFiles[f.rel] != "" && !f.s.who.IsRoot() {
		return nil, syscall.EACCES
	}
	inside := inThread(f.rel)
	content, err := run(ctx, f.s, f.lockKey(), mayBlockFile(f.pid != 0, f.rel), func() ([]byte, error) {
		base, err := f.base()
		if err != nil {
			return nil, err
		}
		defer f.closeBase(base)
		if err := f.sysctlAllows(base); err != nil {
			return nil, err
		}
		return f.s.leaf.readFile(base, f.rel, f.pid != 0 && onceFiles[inside])
	})
	if err != nil {
		return nil, err
	}
	return vfs.NewBytes(content, 0), nil
}

// sysctlAllows is what the kernel would say to the identity that opens a file
// below sys/. There it looks at the effective user id, which as does not change
// (sysctl_perm in fs/proc/proc_sysctl.c), and not at the fs ids: so the mode is
// read here the way it would be there, for who is not root.
func (f file) sysctlAllows(base int) error {
	who := f.s.who
	if f.pid != 0 || !strings.HasPrefix(f.rel, "sys/") || who.IsRoot() {
		return nil
	}
	fd, err := openAt(base, f.rel, openPath)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	read := uint32(0o004)
	switch {
	case st.Uid == who.UID:
		read = 0o400
	case st.Gid == who.GID || slices.Contains(who.Groups, st.Gid):
		read = 0o040
	}
	if st.Mode&read == 0 {
		return syscall.EACCES
	}
	return nil
}

// readFile reads the whole file rel below the directory base.
func (l *Leaf) readFile(base int, rel string, once bool) ([]byte, error) {
	fd, err := openAt(base, rel, openRead)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	return l.readWhole(fd, once)
}
