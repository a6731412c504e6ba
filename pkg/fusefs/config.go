package fusefs

import (
	"context"
	"log/slog"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// DefaultDeadline is how long a request may take where Config says nothing.
const DefaultDeadline = 5 * time.Second

// A Config says what is mounted and for whom.
type Config struct {
	// Attach returns the root of the tree as who sees it. It is called once
	// for Owner, or for a Shared mount whenever an identity comes that is not
	// known or has not been asked about for attachTime.
	Attach func(ctx context.Context, who vfs.Identity) (vfs.Node, error)

	// Owner is whom the mount is for. The kernel lets only processes in that
	// all of whose uids and gids are Owner's.
	Owner vfs.Identity

	// Shared opens the mount to every local user (allow_other), each of whom
	// sees the tree of their own identity.
	Shared bool

	// Prefetched is for a tree whose files are all at hand; nil for any other. It does
	// not go with Shared: the server is not asked who opens a file.
	Prefetched *Prefetched

	// Deadline is when a request's context ends; zero is DefaultDeadline.
	Deadline time.Duration

	// Groups tells the supplementary groups of a thread, for a Shared mount.
	// It must read the native procfs: reading this very mount would wait for
	// itself. Nil reads /proc/<tid>/status.
	Groups func(tid uint32) ([]uint32, error)

	// CPUs are where the device is read and its requests are answered; nil is
	// anywhere. A program that is on one CPU with its answers need not wait for
	// another CPU to wake.
	CPUs *unix.CPUSet

	// Log gets what an admin may want to know; nil is slog.Default.
	Log *slog.Logger

	plusTime time.Duration // see defaultPlusTime; a test has more of it

	// FSName is the source that mount(8) and df(1) show; "" is "aggrfs".
	FSName string
}

// withDefaults fills in what is not said.
func (c Config) withDefaults() Config {
	if c.Deadline <= 0 {
		c.Deadline = DefaultDeadline
	}
	if c.Groups == nil {
		c.Groups = func(tid uint32) ([]uint32, error) { return readGroups("/proc", tid) }
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.plusTime <= 0 {
		c.plusTime = defaultPlusTime
	}
	if c.FSName == "" {
		c.FSName = "aggrfs"
	}
	return c
}
