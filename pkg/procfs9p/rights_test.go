package procfs9p

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/aggrfs/aggrfs/internal/procfile"
	"github.com/aggrfs/aggrfs/pkg/vfs"
	"golang.org/x/sys/unix"
)

// mountProc mounts a procfs of this pid namespace with these options.
func mountProc(t *testing.T, options string) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("proc", dir, "proc", 0, options); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func openDirectory(t *testing.T, dir string) *os.File {
	t.Helper()
	f, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// objectsBelow are all objects below a directory of a procfs that root sees, the
// never exported ones too; of a process's threads the first two, of this
// process's, which come and go, the first. Directories of the names in without
// are listed and nothing more.
func objectsBelow(t *testing.T, procfs, dir string, without ...string) (all []object) {
	t.Helper()
	threads := 0
	err := filepath.WalkDir(filepath.Join(procfs, dir), func(path string, e fs.DirEntry, err error) error {
		rel, relErr := filepath.Rel(procfs, path)
		if relErr != nil {
			return relErr
		}
		name, _, _ := strings.Cut(rel, "/")
		switch {
		case err != nil && e != nil: // listed above, or gone meanwhile
			return nil
		case err != nil:
			return err
		case dir == "." && isPID(name):
			return fs.SkipDir
		case rel == ".", e.Name() == "self", e.Name() == "thread-self":
			return nil // the leaf's own answers
		case path == filepath.Join(procfs, dir, "task", e.Name()):
			if threads++; threads > 2 || threads > 1 && dir == strconv.Itoa(os.Getpid()) {
				return fs.SkipDir
			}
		}
		all = append(all, object{Path: rel, Type: vfs.Type(typeOf(e.Type()))})
		if e.IsDir() && slices.Contains(without, e.Name()) {
			return fs.SkipDir
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func typeOf(m fs.FileMode) vfs.Type {
	switch m.Type() {
	case fs.ModeDir:
		return vfs.TypeDir
	case fs.ModeSymlink:
		return vfs.TypeLink
	}
	return vfs.TypeFile
}

// restless reports whether what the file of a stopped process holds changes all
// the same, by the clocks and counters of the whole machine, or of the user.
func (o object) restless() bool {
	pid, rel, _ := strings.Cut(o.Path, "/")
	inside := procfile.InThread(rel)
	return !isPID(pid) || inside == "mountstats" || shared[inside] || inside == "smaps" || inside == "status" || inside == "schedstat" ||
		inside == "arch_status" || strings.HasPrefix(inside, "net/")
}

// own reports whether o is of this process, which is not stopped: threads come and
// go, and those that read are for that time somebody else's.
func (o object) own() bool {
	pid, _, _ := strings.Cut(o.Path, "/")
	return pid == strconv.Itoa(os.Getpid())
}

// comparison holds what one identity sees through the leaf against what it sees
// natively.
type comparison struct {
	natively func([]object) []seen
	through  func([]object) []seen
	root     bool // it is the superuser
	// invisible: where the kernel says that something may not be done, the leaf
	// may say that it does not exist.
	invisible bool
}

// How often an object that differs is looked at again: where the native looks before
// and after that through the leaf were the same, so that it was at rest meanwhile, and
// where it moved, which says nothing.
const (
	looksAtRest = 8
	looksMoving = 400
)

// differences looks at all objects both ways, and again at those that differ: a
// file may have changed in between. The first look, at all of them, is one way beside the
// other; later ones have a native look before and one after. What is never exported must
// not exist.
func (c comparison) differences(objects []object) (table []string) {
	natives := make(map[string]map[seen]bool)
	atRest := make(map[string]int)
	for try := 0; len(objects) > 0; try++ {
		var again []object
		var before, leaf, after []seen
		if try == 0 {
			var both sync.WaitGroup
			both.Go(func() { leaf = c.through(objects) })
			before = c.natively(objects)
			both.Wait()
			after = before
		} else {
			before, leaf, after = c.natively(objects), c.through(objects), c.natively(objects)
		}
		for i, o := range objects {
			if natives[o.Path] == nil {
				natives[o.Path] = make(map[seen]bool)
			}
			natives[o.Path][before[i]], natives[o.Path][after[i]] = true, true
			changes := len(natives[o.Path]) > 1
			d := c.difference(o, before[i], leaf[i], changes)
			if d == "" || c.difference(o, after[i], leaf[i], changes) == "" {
				continue
			}
			if try > 0 && before[i] == after[i] {
				atRest[o.Path]++
			}
			if atRest[o.Path] > looksAtRest || try == looksMoving {
				table = append(table, fmt.Sprintf("%-40s %s", o.Path, d))
			} else {
				again = append(again, o)
			}
		}
		objects = again
	}
	return table
}

func (c comparison) difference(o object, want, got seen, changes bool) string {
	switch {
	case o.neverExported():
		if got.Stat == 0 || got.Use == 0 {
			return fmt.Sprintf("never exported, and yet %v, %v", got.Stat, got.Use)
		}
		return ""
	case !c.root && procfile.Root.File(o.Path).OwnAlone != "":
		if got.Use != syscall.EACCES {
			return fmt.Sprintf("the superuser's alone, and yet %v: %q", got.Use, got.Start)
		}
		return ""
	case c.invisible && want.Use == syscall.EPERM && got.Use == syscall.ENOENT && got.Stat == got.Use:
		return ""
	case want.Stat != got.Stat || want.Mode != got.Mode || (want.UID != got.UID || want.GID != got.GID) && !o.own():
		return fmt.Sprintf("natively %v %o %d:%d, leaf %v %o %d:%d", want.Stat, want.Mode, want.UID, want.GID, got.Stat, got.Mode, got.UID, got.GID)
	case want.Use != got.Use:
		return fmt.Sprintf("natively %v %q, leaf %v %q", want.Use, want.Start, got.Use, got.Start)
	case want.Masked != got.Masked && !(c.root && o.own()):
		return fmt.Sprintf("natively shows %q, leaf %q", want.Masked, got.Masked)
	case want.Sum != got.Sum && !o.own() && !(changes && o.restless()):
		return fmt.Sprintf("natively %q, leaf %q", want.Start, got.Start)
	}
	return ""
}

// TestRights has each of several identities look at everything of each kind of
// process, and at all files of the root, natively and through the leaf, on
// procfs with each of the options that hide processes: both see the same.
func TestRights(t *testing.T) {
	pids := zoo(t)
	own := os.Getpid()
	pids["the leaf's own"] = own
	for _, options := range []string{"", "hidepid=1", "hidepid=2,gid=" + strconv.Itoa(gidShared), "hidepid=4"} {
		t.Run("options "+options, func(t *testing.T) {
			procfs := mountProc(t, options)
			l := newLeaf(t, Config{Root: procfs})
			top := object{Path: ".", Type: vfs.TypeDir}
			other := object{Path: strconv.Itoa(otherThread(t)) + "/maps", Type: vfs.TypeFile}
			objects := []object{other}
			for name, pid := range pids {
				// What hides a process is asked at its directory; and what is in
				// net is the network's, of all of them the same.
				without := []string{"net", "task"}
				if options == "" {
					without = without[:1]
					if name == "A's" {
						without = nil
					}
				}
				top.Pids = append(top.Pids, strconv.Itoa(pid))
				objects = append(objects, objectsBelow(t, procfs, strconv.Itoa(pid), without...)...)
			}
			objects = append(objects, top)
			var nodes []object
			if options == "" {
				nodes = objectsBelow(t, procfs, ".")
			}
			t.Logf("%d objects of %d processes, %d of the node", len(objects), len(pids), len(nodes))
			for _, who := range slices.Sorted(maps.Keys(readers)) {
				id := readers[who]
				root := attach(t, l, id, "")
				c := comparison{
					natively: newOracle(t, "native", becomes(id), openDirectory(t, procfs)).look,
					root:     id.IsRoot(), invisible: options == "hidepid=4",
					through: func(objects []object) (all []seen) {
						for _, o := range objects {
							all = append(all, lookThrough(standing{t.Context()}, root, o))
						}
						return all
					},
				}
				ask := objects
				if !alike[who] {
					ask = slices.Concat(objects, nodes)
				}
				for _, line := range c.differences(ask) {
					t.Errorf("%s: %s", who, line)
				}
			}
		})
	}
	if t.Failed() {
		t.Logf("processes: %v", pids)
	}
}

// TestRightsOfOwnUser has a leaf that is not root's look, as the user that it
// runs as and as others.
func TestRightsOfOwnUser(t *testing.T) {
	leafUser := vfs.Identity{UID: 990, GID: 990}
	as := becomes(leafUser)
	as.AmbientCaps = []uintptr{unix.CAP_SETUID, unix.CAP_SETGID, unix.CAP_SYS_PTRACE, unix.CAP_DAC_READ_SEARCH}
	pids := zoo(t)
	pids["the leaf's user's"] = quiet(t, becomes(leafUser))
	procfs := mountProc(t, "hidepid=2")
	var objects []object
	for _, pid := range pids {
		objects = append(objects, objectsBelow(t, procfs, strconv.Itoa(pid), "net", "task")...)
	}
	for _, name := range []string{"kallsyms", "iomem", "slabinfo", "keys", "sys/kernel/cad_pid", "sys/vm/swappiness"} {
		objects = append(objects, object{Path: name, Type: vfs.TypeFile})
	}
	ids := maps.Clone(readers)
	delete(ids, "root") // reads with the leaf's rights, which are not root's
	ids["the leaf's user"] = leafUser
	for who, id := range ids {
		text, err := json.Marshal(id)
		if err != nil {
			t.Fatal(err)
		}
		c := comparison{
			natively: newOracle(t, "native", becomes(id), openDirectory(t, procfs)).look,
			through:  newOracle(t, "leaf", as, openDirectory(t, procfs), whoVariable+"="+string(text)).look,
		}
		for _, line := range c.differences(objects) {
			t.Errorf("%s: %s", who, line)
		}
	}
}

// otherThread is a thread of this process that is not the first.
func otherThread(t *testing.T) int {
	t.Helper()
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range tasks {
		if tid, err := strconv.Atoi(e.Name()); err == nil && tid != os.Getpid() {
			return tid
		}
	}
	t.Fatal("no other thread")
	return 0
}
