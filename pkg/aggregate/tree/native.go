package tree

import (
	"context"
	"os"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/aggrfs/aggrfs/internal/procfile"
	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/objectid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/synthetic"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// native is the reader's native procfs: what a root shows besides the
// processes and the sums is found there, by symbolic links. The kernel resolves
// them with the reader's own rights and in the reader's own namespaces.
type native struct {
	base synthetic.Base
	proc string // the procfs as this process sees it
	path string // the procfs as the reader sees it
	now  func() time.Time

	mu   sync.Mutex
	list []string  // guarded by mu; replaced, never changed
	read time.Time // guarded by mu; when list was read
}

func newNative(base synthetic.Base, proc, path string, now func() time.Time) *native {
	return &native{base: base, proc: proc, path: path, now: now}
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

// entry is the link for a root name.
func (n *native) entry(parent uint64, name string) (*synthetic.Link, error) {
	if _, ok := slices.BinarySearch(n.names(), name); !ok {
		return nil, syscall.ENOENT
	}
	return n.link(objectid.Child(parent, name), name), nil
}

// entryIn is the link for an entry of a directory of the native procfs.
func (n *native) entryIn(parent uint64, dir, name string) (*synthetic.Link, error) {
	if _, err := os.Lstat(n.proc + "/" + dir + "/" + name); err != nil {
		return nil, err
	}
	return n.link(objectid.Child(parent, name), dir+"/"+name), nil
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
	l := n.link(objectid.Child(parent, name), name)
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
		return n.link(objectid.Child(id, name), "1/cgroup"), nil
	}, func(context.Context) ([]vfs.DirEntry, error) {
		return []vfs.DirEntry{synthetic.Entry(id, "cgroup", vfs.TypeLink)}, nil
	}), nil
}

// ownEntry is the entry of the reader's own process, where they are known, for a
// listing without any other: ps and top take a /proc without processes for broken.
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
func (n *native) link(id uint64, path string) *synthetic.Link {
	return n.base.Link(id, n.path+"/"+path)
}
