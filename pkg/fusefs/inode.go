package fusefs

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// rootID is the node id of the mount's root, FUSE_ROOT_ID.
const rootID = 1

// mountPointID is the node id of a vfs.MountPoint in the root: the same whoever serves the mount,
// and in each generation.
const mountPointID = rootID + 1

// maxFixed is how many directories may be on the path of Config.FixedPath; their node ids come next.
const maxFixed = 8

// An inode is what the kernel knows under one node id: an object of the tree at
// one path. parent, name, object and kind never change.
type inode struct {
	id     uint64 // the kernel's node id, never used twice, see counterBits
	object uint64 // vfs.Node.ID
	kind   vfs.Type
	parent *inode // nil for the root
	name   string

	listed  listed
	payer   *share // that it counts in; nil: in none
	lookups uint64 // how often the kernel was given id and has not forgotten it; guarded by inodes.mu
	stays   bool   // it is one of Config.FixedPath: it has no number of an object, and is not forgotten

	views  views
	file   *fileInode   // of a file, in a mount whose files are opened
	loaded *loaded      // in a mount that is Prefetched
	whole  *wholeFile   // of a file, in a mount that is Whole
	dirs   atomic.Int32 // how often a directory is open
	since  atomic.Int64 // see settle
}

// settle has the times in a be those that the kernel was told of i first. Those of a procfs say when
// the node's kernel has made its inode, which it does again and again where it does not keep it;
// who looks at a file before reading and afterwards, as tar does, would take it for changed.
func (i *inode) settle(a vfs.Attr) vfs.Attr {
	if a.Mtime.IsZero() || !a.Atime.Equal(a.Mtime) || !a.Ctime.Equal(a.Mtime) {
		return a
	}
	if !i.since.CompareAndSwap(0, a.Mtime.UnixNano()) {
		at := time.Unix(0, i.since.Load())
		a.Atime, a.Mtime, a.Ctime = at, at, at
	}
	return a
}

// path is the names from the root to i.
func (i *inode) path() []string {
	if i.parent == nil {
		return nil
	}
	return append(i.parent.path(), i.name)
}

// ino is the inode number that a listing shows for a directory.
func (i *inode) ino() uint64 { return max(i.object, rootID) }

// up is the directory above; the root's is itself.
func (i *inode) up() *inode {
	if i.parent == nil {
		return i
	}
	return i.parent
}

type place struct {
	parent uint64
	name   string
}

// inodes are all that the kernel knows.
//
// The kernel counts how often it was given a node id, and gives the counts back
// with FORGET. Answers and FORGETs cross: an inode that an answer is about to
// name must not be dropped by a FORGET of earlier answers. So the count is
// raised under the lock under which FORGET lowers it, before the answer is
// written; an answer that never arrives lowers it again (package device, takeBack).
type inodes struct {
	mu     sync.Mutex
	byID   map[uint64]*inode
	byName map[place]*inode // what a name means now
	last   uint64

	prepare func(*inode) // see mode

	listings uint64 // the number of the newest listing, see listed
}

// init makes root the only one; prepare is called with each that comes.
// fixed are the names of Config.FixedPath.
func (t *inodes) init(root *inode, generation uint32, fixed []string, prepare func(*inode)) {
	t.byID = map[uint64]*inode{rootID: root}
	t.byName = make(map[place]*inode)
	t.last = firstOf(generation) + mountPointID + maxFixed
	t.prepare = prepare
	root.lookups = 1
	prepare(root)
	parent := root
	for k, name := range fixed[:min(len(fixed), maxFixed)] {
		i := &inode{id: mountPointID + 1 + uint64(k), kind: vfs.TypeDir, parent: parent, name: name, stays: true}
		prepare(i)
		t.byID[i.id], t.byName[place{parent.id, name}] = i, i
		parent = i
	}
}

// get is the inode of a node id. The kernel names only those that it has not
// forgotten; nil is a number that it was never given.
func (t *inodes) get(id uint64) *inode {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.byID[id]
}

// named is the inode that a name means now; nil is that the kernel knows none.
func (t *inodes) named(parent *inode, name string) *inode {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.byName[place{parent.id, name}]
}

// enter counts one more answer that names n, found as name in parent. If the
// name meant another object so far, the inode of that one lives on without it.
// inListing is whether the answer is that of a listing, by whom is by, on whose account it counts.
// It is nil where there are too many.
func (t *inodes) enter(parent *inode, name string, n vfs.Node, inListing bool, by *viewer) *inode {
	at, object, kind := place{parent.id, name}, n.ID(), n.Type()
	t.mu.Lock()
	defer t.mu.Unlock()
	i := t.byName[at]
	if i == nil || !i.stays && (i.object != object || i.kind != kind) {
		payer := &by.shares.inodes
		if !payer.take(1) {
			return nil
		}
		if i != nil {
			i.unlistLocked()
		}
		i = &inode{id: t.nextLocked(parent, n), object: object, kind: kind, parent: parent, name: name, payer: payer}
		t.prepare(i)
		t.byID[i.id], t.byName[at] = i, i
	}
	i.lookups++
	if parent.listed.wasMissedLocked(name) || inListing {
		t.stampLocked(i, by.mark)
	}
	return i
}

// nextLocked is the node id of a new inode.
func (t *inodes) nextLocked(parent *inode, n vfs.Node) uint64 {
	if _, ok := n.(vfs.MountPoint); ok && parent.parent == nil && t.byID[mountPointID] == nil {
		return mountPointID
	}
	t.last++
	return t.last
}

// replace makes the name of i mean another inode from the next answer on.
func (t *inodes) replace(i *inode) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if at := (place{i.parent.id, i.name}); t.byName[at] == i {
		delete(t.byName, at)
		i.unlistLocked()
	}
}

// forget takes back n answers.
func (t *inodes) forget(id, n uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := t.byID[id]
	if i == nil || i.parent == nil || i.stays {
		return // as the root
	}
	if i.lookups -= min(n, i.lookups); i.lookups > 0 {
		return
	}
	delete(t.byID, id)
	i.payer.give(1)
	i.unlistLocked()
	if at := (place{i.parent.id, i.name}); t.byName[at] == i {
		delete(t.byName, at)
	}
}

// size is how many inodes the kernel knows.
func (t *inodes) size() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.byID)
}
