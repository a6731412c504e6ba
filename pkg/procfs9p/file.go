package procfs9p

import (
	"context"
	"syscall"

	"github.com/aggrfs/aggrfs/internal/procfile"
	"github.com/aggrfs/aggrfs/pkg/vfs"
	"golang.org/x/sys/unix"
)

type file struct{ node }

var _ vfs.File = file{}

// Open implements vfs.File: it reads the whole file.
func (f file) Open(ctx context.Context) (vfs.Handle, error) {
	content, err := run(ctx, f.s, f.lockKey(), f.table().MayBlock(f.rel), func() ([]byte, error) {
		base, proc, err := f.enter(openFile)
		if err != nil {
			return nil, err
		}
		defer f.closeBase(base)
		return f.read(base, proc)
	})
	if err != nil {
		return nil, err
	}
	return vfs.NewOnce(content), nil
}

// read reads the whole file n, below base, of the process proc; it runs within
// run.
func (n node) read(base int, proc uint64) ([]byte, error) {
	if n.pid == 0 && procfile.Root.File(n.rel).OwnAlone != "" && !n.s.who.IsRoot() {
		return nil, syscall.EACCES
	}
	fd, err := openAt(base, n.rel, openRead)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	content, err := n.s.leaf.readWhole(fd, n.table().File(n.rel).Once)
	if err == nil && n.isOwn(proc) {
		return ownMasked(n.rel, content)
	}
	return content, err
}
