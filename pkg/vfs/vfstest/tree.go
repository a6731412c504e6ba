package vfstest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// An Op is one of the operations of a tree, as [Tree.Before] is told.
type Op string

// The operations.
const (
	OpAttach   Op = "attach"
	OpAttr     Op = "attr"
	OpWalk     Op = "walk"
	OpList     Op = "list"
	OpReadDir  Op = "readdir"
	OpOpen     Op = "open"
	OpRead     Op = "read"
	OpWrite    Op = "write"
	OpReadlink Op = "readlink"
)

// A Tree is a tree in memory that can be changed at any time by its methods,
// all of which may be called concurrently. Changing it with a path that cannot
// be is a mistake of the test and panics.
type Tree struct {
	root *object

	mu     sync.RWMutex // guards what follows and every object's mutable fields
	lastID uint64
	names  map[string]*Tree // further attach names
	allow  func(vfs.Identity) error
	before func(context.Context, Op, string) error

	handles    atomic.Int64
	calls      atomic.Int64
	violations struct {
		sync.Mutex
		seen []string
	}
}

// NewTree returns a tree with an empty root directory.
func NewTree() *Tree {
	t := &Tree{names: make(map[string]*Tree)}
	t.root = t.newObjectLocked("", Dir{})
	return t
}

// Attach implements vfs.Tree.
func (t *Tree) Attach(ctx context.Context, who vfs.Identity, aname string) (vfs.Node, error) {
	if err := t.enter(ctx, OpAttach, aname); err != nil {
		return nil, err
	}
	t.mu.RLock()
	allow, other := t.allow, t.names[aname]
	t.mu.RUnlock()
	if allow != nil {
		if err := allow(who); err != nil {
			return nil, err
		}
	}
	if aname == "" {
		return t.node(t.root, who), nil
	}
	if other == nil {
		return nil, syscall.ENOENT
	}
	return other.Attach(ctx, who, "")
}

// Export makes another tree the answer to an attach name.
func (t *Tree) Export(aname string, other *Tree) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.names[aname] = other
}

// Allow sets who may attach: those for whom allow returns nil. It is everyone
// until then.
func (t *Tree) Allow(allow func(vfs.Identity) error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.allow = allow
}

// Before sets what is called ahead of each operation, with the path of the
// object (for OpAttach: the attach name; for OpWalk: the path asked for). If it
// returns an error that is the operation's answer. Nil takes it away.
func (t *Tree) Before(hook func(ctx context.Context, op Op, path string) error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.before = hook
}

// Handles is how many files and directories are open.
func (t *Tree) Handles() int { return int(t.handles.Load()) }

// Calls is how many operations there were.
func (t *Tree) Calls() int { return int(t.calls.Load()) }

// Violations lists each way in which the tree was used against the contract.
func (t *Tree) Violations() []string {
	t.violations.Lock()
	defer t.violations.Unlock()
	return slices.Clone(t.violations.seen)
}

func (t *Tree) violation(format string, args ...any) {
	const most = 100 // a front that is wrong once is often wrong always
	t.violations.Lock()
	defer t.violations.Unlock()
	if len(t.violations.seen) < most {
		t.violations.seen = append(t.violations.seen, fmt.Sprintf(format, args...))
	}
}

// enter is called at the beginning of every operation.
func (t *Tree) enter(ctx context.Context, op Op, path string) error {
	t.calls.Add(1)
	t.mu.RLock()
	hook := t.before
	t.mu.RUnlock()
	if hook != nil {
		if err := hook(ctx, op, path); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// Put makes what a path stands for; the directories on the way are made where
// they are missing. What the path stood for before is gone: those who hold it
// get ENOENT. The path "" changes the root's attributes.
func (t *Tree) Put(path string, e Entry) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if path == "" {
		t.root.entry = e.(Dir)
		return
	}
	dir := t.root
	names := strings.Split(path, "/")
	for i, name := range names {
		if !vfs.ValidName(name) {
			panic(fmt.Sprintf("vfstest: Put(%q): %q is no name", path, name))
		}
		if i == len(names)-1 {
			dir.dropLocked(name)
			dir.addLocked(name, t.newObjectLocked(path, e))
			return
		}
		next := dir.children[name]
		if next == nil {
			next = t.newObjectLocked(strings.Join(names[:i+1], "/"), Dir{})
			dir.addLocked(name, next)
		}
		if next.entry.kind() != vfs.TypeDir {
			panic(fmt.Sprintf("vfstest: Put(%q): %q is no directory", path, name))
		}
		dir = next
	}
}

// Change replaces what a file or link holds and keeps its id: the same object
// with another content.
func (t *Tree) Change(path string, e Entry) {
	t.mu.Lock()
	defer t.mu.Unlock()
	o, _, _ := t.findLocked(path)
	if o == nil || o.entry.kind() != e.kind() {
		panic(fmt.Sprintf("vfstest: Change(%q): no such object of that type", path))
	}
	o.entry = e
}

// Remove takes away what a path stands for and all below it.
func (t *Tree) Remove(path string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	o, dir, name := t.findLocked(path)
	if o == nil || dir == nil {
		panic(fmt.Sprintf("vfstest: Remove(%q): no such path", path))
	}
	dir.dropLocked(name)
}

// findLocked finds an object, its directory and its name there.
func (t *Tree) findLocked(path string) (o, dir *object, name string) {
	o = t.root
	if path == "" {
		return o, nil, ""
	}
	for name = range strings.SplitSeq(path, "/") {
		if o == nil {
			return nil, nil, ""
		}
		dir, o = o, o.children[name]
	}
	return o, dir, name
}
