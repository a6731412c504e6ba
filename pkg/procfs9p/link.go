package procfs9p

import (
	"context"
	"syscall"

	"github.com/aggrfs/aggrfs/pkg/vfs"
	"golang.org/x/sys/unix"
)

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
