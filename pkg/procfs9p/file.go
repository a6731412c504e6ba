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

type link struct{ node }

var _ vfs.Link = link{}

// Readlink implements vfs.Link.
func (k link) Readlink(ctx context.Context) (string, error) {
	mayBlock := k.table().MayBlockIn(parentOf(k.rel))
	return run(ctx, k.s, k.lockKey(), mayBlock, func() (string, error) {
		fd, err := k.open(readLink, openPath)
		if err != nil {
			return "", err
		}
		defer unix.Close(fd)
		return readlink(fd)
	})
}

// readlink is the text of the link that is open as fd. procfs makes no text
// longer than a page.
func readlink(fd int) (string, error) {
	var buf [2 * 4096]byte
	n, err := unix.Readlinkat(fd, "", buf[:])
	if err != nil {
		return "", err
	}
	if n == len(buf) {
		return "", syscall.ENAMETOOLONG
	}
	return string(buf[:n]), nil
}

// selfLink is a link of the root that names the reader: its attributes are those of the
// kernel's.
type selfLink struct {
	node
	text string
}

var _ vfs.Link = selfLink{}

// Readlink implements vfs.Link.
func (k selfLink) Readlink(ctx context.Context) (string, error) { return k.text, ctx.Err() }
