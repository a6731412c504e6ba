package procfs9p

import (
	"context"
	"fmt"
	"hash/maphash"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/aggrfs/aggrfs/internal/control"
	"github.com/aggrfs/aggrfs/pkg/procfs9p/acts"
	"github.com/aggrfs/aggrfs/pkg/procfs9p/fdlimit"
	"github.com/aggrfs/aggrfs/pkg/procfs9p/lend"
	"github.com/aggrfs/aggrfs/pkg/procfs9p/meter"
	"github.com/aggrfs/aggrfs/pkg/snapshot"
	"github.com/aggrfs/aggrfs/pkg/vfs"
	"golang.org/x/sync/semaphore"
	"golang.org/x/sys/unix"
)

// SnapshotName is the attach name of the snapshot tree.
const SnapshotName = "snapshot"

// ReadAheadName is the attach name of the tree in which files of all processes are read at once
// with the rights of who attaches.
const ReadAheadName = "readahead"

// How long a leaf waits by default.
const (
	ReadTimeout  = 2 * time.Second
	SweepTimeout = 5 * time.Second
)

// Config says what a leaf exports and how long it waits. Zero fields stand for
// the defaults.
type Config struct {
	Root    string       // the procfs; default "/proc"
	Version string       // procsrv's, told in snapshots
	Log     *slog.Logger // default: nothing is logged

	ReadTimeout  time.Duration // for one operation on one file
	MaxFile      int           // bytes of a file, longer ones are EFBIG; default 64 MiB
	MaxAbandoned int           // goroutines stuck in the kernel; default 64, and fewer where few files may be open

	SweepTimeout time.Duration // for a whole sweep
	StallTimeout time.Duration // for one file within a sweep; default 200 ms
	MaxSweepFile int           // bytes of a file in a snapshot, longer ones are EFBIG there; default 64 KiB
	MaxSweep     int           // bytes of a snapshot; processes beyond are skipped; default 256 MiB

	// Control is who acts on processes for those who may; nil is that nobody does, and that there is
	// no tree of control. It is not the leaf's to close.
	Control *Control
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func (c *Config) setDefaults() {
	setDefault(&c.Root, "/proc")
	setDefault(&c.Version, "unknown")
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	setDefault(&c.ReadTimeout, ReadTimeout)
	setDefault(&c.MaxFile, 64<<20)
	setDefault(&c.MaxAbandoned, 64)
	setDefault(&c.SweepTimeout, SweepTimeout)
	setDefault(&c.StallTimeout, 200*time.Millisecond)
	setDefault(&c.MaxSweepFile, 64<<10)
	setDefault(&c.MaxSweep, 256<<20)
}

// Leaf is a node's /proc as a tree. It is a vfs.Tree.
type Leaf struct {
	cfg   Config
	root  *os.File // the procfs, O_PATH
	seed  uint64   // of all ids
	names maphash.Seed
	own   *lend.Lender
	self  int32 // this process in the procfs; 0: it is not there
	// userNS is the user namespace of this process.
	userNS nsFile
	// itself is for what the leaf does for its own sake.
	itself *session
	guard  *guard
	// descriptors are what guard's calls and the workers of sweeps may have open.
	descriptors *fdlimit.Descriptors
	procs       *registry
	dirs        *heldDirs
	sweeps      *snapshot.Server
	readAheads  *semaphore.Weighted // of the sweeps with requesters' rights, which are not shared
	born        time.Time           // of the snapshot trees
	acts        *acts.Server        // nil is that nobody acts on processes
	reader
	// entries are the names seen in process directories: string to vfs.Type.
	// There are as many as the kernel has.
	entries   sync.Map
	entryList atomic.Pointer[snapshot.Names] // see entryNames
}

// New opens the procfs. It refuses a directory that is not one, and a limit of open
// files at which nothing would work.
func New(cfg Config) (*Leaf, error) {
	cfg.setDefaults()
	limit := fdlimit.Limit()
	if limit < fdlimit.Least {
		return nil, fmt.Errorf("%w: the process may have %d open, and at least %d are needed; raise its limit (LimitNOFILE= in the unit, ulimit -n)", syscall.EMFILE, limit, fdlimit.Least)
	}
	root, err := openRoot(cfg.Root)
	if err != nil {
		return nil, err
	}
	l := &Leaf{cfg: cfg, root: root, own: lend.New(lend.ReadOwn), names: maphash.MakeSeed(), reader: newReader(cfg.MaxFile)}
	l.itself = &session{leaf: l, who: vfs.Root}
	if l.self, err = ownPID(l.rootFD()); err != nil {
		root.Close()
		return nil, fmt.Errorf("readlink %s/self: %w", cfg.Root, err)
	}
	if l.acts, err = newActs(l); err != nil {
		root.Close()
		return nil, err
	}
	l.userNS = ownUserNS()
	l.seed = maphash.String(l.names, "") | 1
	l.descriptors = fdlimit.New(limit, cfg.ReadTimeout)
	l.guard = newGuard(cfg.ReadTimeout, l.descriptors.MayStick(cfg.MaxAbandoned))
	l.procs, l.dirs = newRegistry(root, l.self, l.seed), newHeldDirs(l.descriptors.Keep)
	l.sweeps, l.born = snapshot.NewServer(l.produce, cfg.SweepTimeout), time.Now()
	l.sweeps.Measure(meter.New(cfg.Root).Figures)
	l.readAheads = semaphore.NewWeighted(mostReadAheads)
	return l, nil
}

func openRoot(dir string) (*os.File, error) {
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open procfs %s: %w", dir, err)
	}
	root := os.NewFile(uintptr(fd), dir)
	var fs unix.Statfs_t
	if err := unix.Fstatfs(fd, &fs); err != nil {
		root.Close()
		return nil, fmt.Errorf("statfs %s: %w", dir, err)
	}
	if fs.Type != unix.PROC_SUPER_MAGIC {
		root.Close()
		return nil, fmt.Errorf("%s is not a procfs (file system type %#x): mount one there with \"mount -t proc proc %s\" or name another directory", dir, fs.Type, dir)
	}
	return root, nil
}

// Close ends all that runs and waits for it. What is stuck in the kernel is
// waited for no longer than Config.ReadTimeout; it keeps the procfs open until
// it ends by itself. Nodes and handles answer ESHUTDOWN from now on.
func (l *Leaf) Close() error {
	l.sweeps.Close()
	l.dirs.close()
	if l.acts != nil {
		defer l.acts.Audit.Flush()
	}
	if left := l.guard.close(); left > 0 {
		// The descriptor may still be used: it is closed when the last of them
		// lets go of l.
		l.cfg.Log.Warn("reads are stuck in the kernel", "procfs", l.cfg.Root, "count", left)
		return nil
	}
	return l.root.Close()
}

// Abandoned is how many reads are stuck in the kernel and were given up.
func (l *Leaf) Abandoned() int { return l.guard.stuckCount() }

// Attach implements vfs.Tree. Snapshots are for the superuser only.
func (l *Leaf) Attach(ctx context.Context, who vfs.Identity, aname string) (vfs.Node, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	// The all-ones id means "do not change" to setresuid(2): it is nobody's.
	if who.UID == vfs.NoID || who.GID == vfs.NoID {
		return nil, syscall.EACCES
	}
	s := &session{leaf: l, who: who}
	switch aname {
	case "", "/": // many a client has no other name for a root
		return dir{node{s: s, id: l.seed, typ: vfs.TypeDir}}, nil
	case SnapshotName:
		if !who.IsRoot() {
			return nil, syscall.EACCES
		}
		return s.snapshots(SnapshotName, l.sweeps.Answer), nil
	case ReadAheadName:
		return s.snapshots(ReadAheadName, s.readAhead), nil
	case control.Tree:
		return s.control(ctx)
	}
	return nil, syscall.ENOENT
}

// snapshots is the root of a tree of snapshots.
func (s *session) snapshots(aname string, source snapshot.Source) vfs.Dir {
	return snapshot.NewDir(s.rpcDir(aname), s.leaf.cfg.Log, source)
}

// rpcDir are the attributes of a tree of one rpc file, which is the requester's.
func (s *session) rpcDir(aname string) vfs.Attr {
	l := s.leaf
	return vfs.Attr{
		ID:   l.childID(l.seed, "\x00"+aname), // no name in procfs
		Mode: uint32(vfs.TypeDir) | 0o500, UID: s.who.UID, GID: s.who.GID, Nlink: 1, Atime: l.born, Mtime: l.born, Ctime: l.born,
	}
}

// session is what all nodes of one attach share.
type session struct {
	leaf *Leaf
	who  vfs.Identity
}

func (l *Leaf) rootFD() int { return int(l.root.Fd()) }

// childID is the id of name in the directory whose id is parent.
func (l *Leaf) childID(parent uint64, name string) uint64 {
	return mix(parent, maphash.String(l.names, name))
}

// mix makes one number, never zero, of two. It is the finishing step of
// SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number
// generators, 2014).
func mix(a, b uint64) uint64 {
	x := a*0x9e3779b97f4a7c15 + b
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	if x ^= x >> 31; x == 0 {
		return 1
	}
	return x
}
