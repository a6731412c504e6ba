package vfstest

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// A Content makes a file's content at each open, see [File].Read.
type Content = func(ctx context.Context, who vfs.Identity) ([]byte, error)

// Counter is another content at each open: format with the number of the open,
// from 1 on.
func Counter(format string) Content {
	var n atomic.Int64
	return func(context.Context, vfs.Identity) ([]byte, error) {
		return fmt.Appendf(nil, format, n.Add(1)), nil
	}
}

// PerUser is another content for each user: format with the user id.
func PerUser(format string) Content {
	return func(_ context.Context, who vfs.Identity) ([]byte, error) {
		return fmt.Appendf(nil, format, who.UID), nil
	}
}

// BlockedContent never comes: open ends with its context.
func BlockedContent(ctx context.Context, _ vfs.Identity) ([]byte, error) { return nil, Block(ctx) }

// Block waits until the context ends and says why it did.
func Block(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

// Deaf waits for d however early the context ends: a call that breaks the
// contract, as one that is stuck in the kernel does.
func Deaf(ctx context.Context, d time.Duration) error {
	time.Sleep(d)
	return ctx.Err()
}
