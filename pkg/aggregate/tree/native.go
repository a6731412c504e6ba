package tree

import (
	"context"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/aggrfs/aggrfs/internal/procfile"
	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/objectid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/synthetic"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// Native says where the readers of a mount have their native procfs.
type Native struct {
	// Path is its absolute path, as they see it.
	Path string
	// Inside is the name below which it is mounted in the root of the tree as well; "" is that it
	// is not. Then links into it are relative, and go wherever the mount goes (mount --rbind,
	// pivot_root), and what is in the directory of a process of this machine is such links.
	Inside string
}

// native is the reader's native procfs: what a root shows besides the
// processes and the sums is found there, by symbolic links. The kernel resolves
// them with the reader's own rights and in the reader's own namespaces.
type native struct {
	Native
	base synthetic.Base
	proc string // the procfs as this process sees it
	now  func() time.Time

	mu   sync.Mutex
	list []string  // guarded by mu; replaced, never changed
	read time.Time // guarded by mu; when list was read

	process, thread names // of the directory of a process, and of a thread
}

func newNative(base synthetic.Base, proc string, where Native, now func() time.Time) *native {
	return &native{Native: where, base: base, proc: proc, now: now}
}

// nativeAge is how long the list of root names is good. Names come with modules
// that are loaded, so seldom.
const nativeAge = 5 * time.Second

// names are the root's, without processes and what the merged tree has itself,
// sorted. They include self and thread-self.
func (n *native) names() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	if now := n.now(); n.list == nil || now.Sub(n.read) > nativeAge {
		if fresh, err := readNames(n.proc); err == nil {
			n.list, n.read = slices.DeleteFunc(fresh, func(name string) bool {
				_, merged := rootNames[name]
				return merged || name[0] >= '0' && name[0] <= '9'
			}), now
		}
	}
	return n.list
}

// entry is the link for a root name. depth, here and below, is how many directories the link's
// own is below the mount's root.
func (n *native) entry(parent uint64, depth int, name string) (*synthetic.Link, error) {
	if _, ok := slices.BinarySearch(n.names(), name); !ok {
		return nil, syscall.ENOENT
	}
	return n.link(objectid.Child(parent, name), depth, name), nil
}

// entryIn is the link for an entry of a directory of the native procfs.
func (n *native) entryIn(parent uint64, depth int, dir, name string) (*synthetic.Link, error) {
	if _, err := os.Lstat(n.proc + "/" + dir + "/" + name); err != nil {
		return nil, err
	}
	return n.link(objectid.Child(parent, name), depth, dir+"/"+name), nil
}

// entriesIn is the listing of such a directory, with own in place of the native
// entry of its name.
func (n *native) entriesIn(parent uint64, dir string, own vfs.DirEntry) ([]vfs.DirEntry, error) {
	names, err := readNames(n.proc + "/" + dir)
	if err != nil {
		return nil, err
	}
	all := []vfs.DirEntry{own}
	for _, name := range names {
		if name != own.Name {
			all = append(all, synthetic.Entry(parent, name, vfs.TypeLink))
		}
	}
	return synthetic.Sort(all), nil
}

// readNames are the names of a directory, sorted.
func readNames(dir string) ([]string, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	all, err := d.Readdirnames(-1)
	slices.Sort(all)
	return all, err
}

// callerPID is the process that a request comes from, or 0 where it is unknown.
func (n *native) callerPID(ctx context.Context) gpid.PID {
	caller, ok := vfs.CallerOf(ctx)
	if !ok {
		return 0
	}
	pid, err := procfile.ThreadGroup(n.proc, int(caller.TID))
	if err != nil {
		return 0
	}
	return gpid.PID(pid)
}

// isCaller reports whether a request is made by the main thread of that process.
func isCaller(ctx context.Context, g gpid.GPID) bool {
	caller, ok := vfs.CallerOf(ctx)
	return ok && g <= gpid.MaxPID && caller.TID == uint32(g)
}

// ownLink is the reader's own process: a link to the native one, where its fd/ and
// ns/ can be followed and its files written. It is not to be kept: to others the
// name is the process as the tree has it.
func (n *native) ownLink(parent uint64, name string) *synthetic.Link {
	l := n.link(objectid.Child(parent, name), 0, name)
	l.Keep = 0
	return l
}

// initProcess is the directory of pid 1 in a root that does not have it, for programs on
// this machine: it can be walked, is not listed, and has nothing but a link to the native
// cgroup file, which the kernel opens with the reader's own rights. libsystemd takes the
// path in it off the path of any other process, and without it tells nothing of any.
func (n *native) initProcess(ctx context.Context, parent uint64) (vfs.Node, error) {
	if _, ok := vfs.CallerOf(ctx); !ok {
		return nil, syscall.ENOENT
	}
	base, id := n.base, objectid.Child(parent, "1")
	base.Keep = 0 // to others it may be the process
	return base.Dir(id, func(_ context.Context, name string) (vfs.Node, error) {
		if name != "cgroup" {
			return nil, syscall.ENOENT
		}
		return n.link(objectid.Child(id, name), 1, "1/cgroup"), nil
	}, func(context.Context) ([]vfs.DirEntry, error) {
		return []vfs.DirEntry{synthetic.Entry(id, "cgroup", vfs.TypeLink)}, nil
	}), nil
}

// ownEntry is the entry of the reader's own process, where they are known, for a
// listing without any other: ps and top take a /proc without processes for broken.
func ownEntry(ctx context.Context, v viewTree) []vfs.DirEntry {
	all := v.native.ownEntry(ctx, v.ID)
	if len(all) == 0 || v.native.Inside == "" {
		return all
	}
	n, err := related(ctx, v, gpid.GPID(v.native.callerPID(ctx)))
	if err != nil {
		return nil
	}
	all[0].ID, all[0].Type = n.ID(), n.Type()
	return all
}

// ownEntry is the entry that is a link to the native one.
func (n *native) ownEntry(ctx context.Context, parent uint64) []vfs.DirEntry {
	pid := n.callerPID(ctx)
	if pid == 0 {
		return nil
	}
	name := strconv.Itoa(int(pid))
	return []vfs.DirEntry{{Name: name, ID: objectid.Child(parent, name), Type: vfs.TypeLink, Next: uint64(pid) + 1}}
}

// mayBeCaller reports whether a request could come from that process: where the
// request does not tell, every process of this machine could that is the asking
// user's own. Of these nothing is hidden from them on the machine itself.
func (n *native) mayBeCaller(ctx context.Context, who vfs.Identity, pid gpid.PID) bool {
	if _, known := vfs.CallerOf(ctx); known {
		return n.callerPID(ctx) == pid
	}
	if who.Cert != "" || who.UID == vfs.NoID || who.UID == vfs.OverflowID {
		return false
	}
	info, err := os.Lstat(n.proc + "/" + strconv.Itoa(int(pid)))
	if err != nil {
		return false
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	return ok && owner.Uid == who.UID
}

// link makes the link to that path below the native procfs.
func (n *native) link(id uint64, depth int, path string) *synthetic.Link {
	return n.base.Link(id, n.target(depth, path))
}

// target is the text of the link.
func (n *native) target(depth int, path string) string {
	if n.Inside == "" {
		return n.Path + "/" + path
	}
	return strings.Repeat("../", depth) + n.Inside + "/" + path
}

// names are those of a directory of the native procfs that are the same in all of its kind.
type names struct {
	mu  sync.Mutex
	all []string // sorted; guarded by mu; replaced, never changed
}

// of are the names, by an example of such a directory.
func (n *names) of(dir string) []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.all == nil {
		n.all, _ = readNames(dir) // without it there are none this time
	}
	return n.all
}

// processNames are the names in the directory of a process, or of a thread.
func (n *native) processNames(thread bool) []string {
	if thread {
		return n.thread.of(n.proc + "/thread-self")
	}
	return n.process.of(n.proc + "/self")
}

// textOf is the text of a link of a process; "" where it is not to be had.
func (n *native) textOf(pid gpid.PID, name string) string {
	text, _ := os.Readlink(n.proc + "/" + strconv.Itoa(int(pid)) + "/" + name)
	return text
}
