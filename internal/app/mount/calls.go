package mount

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"

	"github.com/aggrfs/aggrfs/internal/app/client"
	"github.com/aggrfs/aggrfs/internal/app/remotecalls"
	"github.com/aggrfs/aggrfs/internal/nsexec"
	"github.com/aggrfs/aggrfs/internal/seccomp"
	"github.com/aggrfs/aggrfs/pkg/ninep"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// remoteCalls answers the calls of exec's command about processes of other machines.
type remoteCalls struct {
	src   *client.Source
	tree  *client.Tree  // that the command has
	shift time.Duration // its clock is so far ahead of this process'

	supervisor *remotecalls.Supervisor // nil before listen, and where there is no listener

	mu    sync.Mutex
	now   *client.Tree       // tree, or one that was connected to in its place
	own   bool               // now is to be closed here
	roots map[string]vfs.Dir // of now, by who has them
}

// maxRoots bounds the roots that are kept: identities below one exec.
const maxRoots = 64

// listen is nsexec.Spec's Listen.
func (r *remoteCalls) listen(listener, pid int, why error) {
	var l *seccomp.Listener
	if why == nil {
		l, why = seccomp.NewListener(listener)
	}
	var native string
	if why == nil {
		native, why = nsexec.Native("")
	}
	if why != nil {
		r.src.Tell("kill, renice and their like do not reach processes of other machines: %v", why)
		return
	}
	r.now = r.tree
	r.supervisor = remotecalls.Start(remotecalls.Config{
		Listener: l, Native: native, Tree: r.root, Mount: treeMount(native, pid), Shift: r.shift,
		Deadline: r.tree.Wait(), Log: r.src.Log,
	})
}

// treeMount is the device number of the tree over /proc in a process' mount namespace; "" is
// that it is not known.
func treeMount(native string, pid int) string {
	fs, err := procfs.NewFS(native)
	if err != nil {
		return ""
	}
	p, err := fs.Proc(pid)
	if err != nil {
		return ""
	}
	mounts, err := p.MountInfo()
	device := ""
	for _, m := range mounts { // the last one at a place is on top
		if err == nil && m.MountPoint == "/proc" {
			device = ""
			if m.FSType == "fuse.aggrfs" {
				device = m.MajorMinorVer
			}
		}
	}
	return device
}

// close ends the answering.
func (r *remoteCalls) close() {
	if r.supervisor == nil {
		return
	}
	if err := r.supervisor.Close(); err != nil {
		r.src.Log.Warn("the listener of the command's calls", "err", err)
	}
	r.supervisor = nil
	if r.own {
		r.now.Close()
	}
}

// errNotThem is that a user's connection is that user's: nobody else acts or reads through it.
var errNotThem = fmt.Errorf("only root can be somebody else to the server: %w", unix.EPERM)

// root is the tree's root as somebody reads it, or acts through it.
func (r *remoteCalls) root(ctx context.Context, who vfs.Identity, acts bool) (vfs.Dir, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if ended(r.now) {
		fresh, err := r.src.Connect(ctx)
		if err != nil {
			return nil, err
		}
		fresh = fresh.At(r.tree.Path)
		if r.own {
			r.now.Close()
		}
		r.now, r.own, r.roots = fresh, true, nil
	}
	self := who.UID == uint32(os.Geteuid())
	key := who.Key()
	switch {
	case self || r.src.As != "" && !acts:
		// What is shown to the command; with --as that is somebody else's view.
		key = "own"
		if r.tree.Origin != client.OfServer && acts {
			key = who.Key() // the tree of this process, which it has all of
		}
	case os.Geteuid() != 0 || r.src.As != "":
		return nil, errNotThem
	}
	if dir := r.roots[key]; dir != nil {
		return dir, nil
	}
	var dir vfs.Dir
	var err error
	if key == "own" {
		dir, err = r.now.Root(ctx)
	} else {
		dir, err = r.now.RootAs(ctx, who)
	}
	if err != nil {
		return nil, err
	}
	if r.roots == nil || len(r.roots) >= maxRoots {
		r.roots = make(map[string]vfs.Dir)
	}
	r.roots[key] = dir
	return dir, nil
}

// ended reports whether the connection of a tree has ended.
func ended(t *client.Tree) bool {
	c, ok := t.Tree.(*ninep.Client)
	if !ok {
		return false
	}
	select {
	case <-c.Done():
		return true
	default:
		return false
	}
}
