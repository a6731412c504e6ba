package fusefs

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aggrfs/aggrfs/pkg/fusefs/caller"
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

	// Whole has each file read when it is looked up, and opened and closed without a request:
	// for programs that read each file once. It does not go with Shared or Prefetched.
	Whole bool

	// Deadline is when a request's context ends; zero is DefaultDeadline.
	Deadline time.Duration

	// Groups tells the supplementary groups of a thread, for a Shared mount.
	// It must read the native procfs: reading this very mount would wait for
	// itself. Nil reads /proc/<tid>/status.
	Groups func(tid uint32) ([]uint32, error)

	// ReadsLink reports whether a thread reads the link that it asks for, rather than following it
	// (vfs.Followed). As Groups it must read the native procfs. Nil reads /proc/<tid>/syscall.
	// It may wait for that thread to wait, until ctx ends.
	ReadsLink func(ctx context.Context, tid uint32) (reads, known bool)

	// Notifier writes notifications in the server's stead; nil: the server writes them to
	// the device itself, and waits until the kernel has taken them.
	Notifier Notifier

	// IDs translates the owner of whatever the kernel is told of, into the ids of the
	// user namespace of the mount; nil: they are the same.
	IDs func(uid, gid uint32) (uint32, uint32)

	// NoThreads says that the thread ids in requests are of another pid namespace: the
	// tree is not told who calls, and nobody has supplementary groups.
	NoThreads bool

	// FixedPath is the path of a directory that may be mounted elsewhere by itself (mount --bind): it
	// and those above it have the same node ids for as long as the mount lasts, whoever serves
	// it. "" is none.
	FixedPath string

	// Generation is in the upper bits of all node ids and file handles, of which 24 bits
	// count: what was given by a server of another generation is unknown to this one.
	Generation uint32

	// MaxRequests is how many requests may be in flight; 0 is no bound. Others wait in the
	// kernel's queue.
	MaxRequests int

	// Account bounds what this mount and others may hold together; nil is no bound.
	Account *Account

	// Accounts is, for a Shared mount, on which account counts what an identity opens and looks up,
	// in place of Account; nil, and a nil account, are no bound. How many requests are in flight
	// counts on Account.
	Accounts func(who vfs.Identity) *Account

	// Resume is for a device that another server has served; nil for a new one.
	Resume *Resume

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

// Resume goes on with a mount whose server has gone: no INIT will come.
//
// Whoever still uses a node of the former server is told ESTALE. A walk along a path begins
// anew then, by itself; what is open, and a working directory, is lost. What the kernel was told
// before is good for as long as the former server said, unless [Revalidate] ends it. A mount
// that was Prefetched stays so: its kernel does not ask about opens any more.
type Resume struct {
	// Init is what the former server's Init returned.
	Init []byte
	// Generation is in place of that of Config, and another than that of all former
	// servers.
	Generation uint32
}

// fixedNames are the names of FixedPath.
func (c *Config) fixedNames() []string {
	if c.FixedPath == "" {
		return nil
	}
	return strings.Split(c.FixedPath, "/")
}

// withDefaults fills in what is not said.
func (c Config) withDefaults() Config {
	if c.Deadline <= 0 {
		c.Deadline = DefaultDeadline
	}
	if c.Groups == nil {
		c.Groups = func(tid uint32) ([]uint32, error) { return caller.ReadGroups("/proc", tid) }
	}
	if c.ReadsLink == nil {
		c.ReadsLink = func(ctx context.Context, tid uint32) (reads, known bool) {
			return caller.ReadsLink(ctx, "/proc", tid)
		}
	}
	if c.IDs == nil {
		c.IDs = func(uid, gid uint32) (uint32, uint32) { return uid, gid }
	}
	if c.Resume != nil {
		c.Generation = c.Resume.Generation
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
