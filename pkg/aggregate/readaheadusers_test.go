package aggregate

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/snapshot"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// traced are the files that are shown to those only who may trace the process, and given are those
// that everybody gets.
var (
	traced = []string{"environ", "exe", "ns/net", "ns/pid"}
	given  = []string{"cgroup", "wchan", "loginuid"}
)

// manyUsers is a leaf with that many processes, by turns root's, user 1's and user 2's.
func manyUsers(many int) *fakeLeaf {
	l := newFakeLeaf()
	process := []snapshot.Name{{Name: "ns", Mode: uint32(vfs.TypeDir) | 0o511}, {Name: "exe", Mode: uint32(vfs.TypeLink) | 0o777}, {Name: "environ", Mode: uint32(vfs.TypeFile) | 0o400}}
	for _, name := range []string{"stat", "status", "statm", "cmdline", "cgroup", "wchan", "loginuid"} {
		process = append(process, snapshot.Name{Name: name, Mode: uint32(vfs.TypeFile) | 0o444})
	}
	l.names = snapshot.NewNames(process, nil)
	for i := range many {
		pid := 1000 + i
		p := l.add(pid, uint32(i%3), 1, pid, pid)
		for _, name := range slices.Concat(traced, given) {
			p.files[name] = fmt.Sprint(name, " of ", pid)
		}
		p.files["cgroup"], p.files["wchan"] = "0::/\n", "0"
	}
	return l
}

// refuse has the leaf show traced files to the owner alone.
func (l *fakeLeaf) refuse() {
	l.change(func() {
		for _, p := range l.procs {
			for _, name := range traced {
				l.refuses[fmt.Sprint(p.pid, "/", name)] = syscall.EACCES
			}
		}
	})
}

const (
	// keepNegative keeps answers that are errors, too; keepOthers does not.
	keepNegative = swept + "- {match: \"<pid>/{environ,exe,cgroup,wchan,loginuid,ns/*}\", cache: 1h, negative: 1h}\n"
	keepOthers   = swept + "- {match: \"<pid>/{environ,exe,cgroup,wchan,loginuid,ns/*}\", cache: 1h}\n"
)

// TestReadAheadForUsers: who reads a file of process after process makes a few exchanges with a
// node and none once more, root and a user who may see all processes, and gets what the node's
// kernel gives them, refusals too.
func TestReadAheadForUsers(t *testing.T) {
	const many, most = 150, 6
	for _, older := range []bool{false, true} {
		for _, who := range []vfs.Identity{vfs.Root, uid(1), uid(3)} {
			leaf := manyUsers(many)
			leaf.older = older
			leaf.owners(who)
			c := fakeCluster(t, Config{Policy: policy(t, keepNegative), Access: authority(everybodyEverywhere)}, newFakeLeaf(), leaf)
			root := rootOf(t, c, who, "")
			names(t, root)
			for _, name := range slices.Concat(traced, given) {
				for _, again := range []bool{false, true} {
					leaf.requests()
					for i := range many {
						got, err := content(t, root, append([]string{strconv.Itoa(gpid.Stride + 1000 + i)}, strings.Split(name, "/")...)...)
						want, wantErr := leaf.given(fmt.Sprint(1000+i, "/", name), who)
						if vfs.Errno(err) != vfs.Errno(wantErr) || got != want {
							t.Fatalf("user %d, older leaf %v: %s of %d is %q, %v; on the node %q, %v", who.UID, older, name, i, got, err, want, wantErr)
						}
					}
					made := leaf.requests()
					// An older leaf is asked about links of others, one by one.
					byOne := older && !who.IsRoot() && name != "environ" && slices.Contains(traced, name) || older && name == "loginuid" && !who.IsRoot()
					switch {
					case again && len(made) > 0:
						t.Errorf("user %d, older leaf %v: %s once more: %d exchanges: %v", who.UID, older, name, len(made), made[:min(8, len(made))])
					case len(made) > most && !byOne:
						t.Errorf("user %d, older leaf %v: %s: %d exchanges: %v", who.UID, older, name, len(made), made[:min(8, len(made))])
					}
				}
			}
		}
	}
}

// owners has the leaf show traced files to root, and to a user those of their own processes.
func (l *fakeLeaf) owners(who vfs.Identity) {
	l.refuse()
	l.change(func() {
		for _, p := range l.procs {
			if p.uid != who.UID {
				continue
			}
			for _, name := range traced {
				delete(l.refuses, fmt.Sprint(p.pid, "/", name))
			}
		}
	})
}

// TestRefusedWithoutAsking: that a file of another user's process may not be opened is known from
// its attributes while they are fresh, where errors may not be kept, too. So ps -ef asks no node
// about environ of each process. It is asked again when the attributes are not fresh, and where
// the owner of the files is not known.
func TestRefusedWithoutAsking(t *testing.T) {
	const many = 90
	leaf := manyUsers(many)
	leaf.owners(uid(1))
	var skew atomic.Int64 // ns
	c := fakeCluster(t, Config{
		Policy: policy(t, keepOthers), Access: authority(everybodyEverywhere),
		Now: func() time.Time { return time.Now().Add(time.Duration(skew.Load())) },
	}, newFakeLeaf(), leaf)
	root := rootOf(t, c, uid(1), "")
	ps := func() []string {
		names(t, root)
		leaf.requests()
		for i := range many {
			for _, name := range []string{"stat", "status", "environ", "cmdline"} {
				_, err := content(t, root, strconv.Itoa(gpid.Stride+1000+i), name)
				want := syscall.Errno(0)
				if name == "environ" && i%3 != 1 {
					want = syscall.EACCES
				}
				if vfs.Errno(err) != want {
					t.Fatalf("%s of %d: %v", name, i, err)
				}
			}
		}
		return leaf.requests()
	}
	for range 3 {
		if made := ps(); len(made) > 6 {
			t.Errorf("%d exchanges: %v", len(made), made[:8])
		}
	}
	skew.Store(int64(2 * time.Hour))
	leaf.requests()
	if _, err := content(t, root, strconv.Itoa(gpid.Stride+1000), "environ"); vfs.Errno(err) != syscall.EACCES || len(leaf.requests()) == 0 {
		t.Errorf("with old attributes the node is not asked: %v", err)
	}
}

// TestRefusalsArePolicys: an error is kept for as long as the rule says, and no longer.
func TestRefusalsArePolicys(t *testing.T) {
	leaf := manyUsers(6)
	leaf.owners(uid(1))
	c := fakeCluster(t, Config{Policy: policy(t, keepOthers), Access: authority(everybodyEverywhere)}, newFakeLeaf(), leaf)
	root := rootOf(t, c, uid(1), "")
	names(t, root)
	exe := func(pid int) error {
		_, err := content(t, root, strconv.Itoa(gpid.Stride+pid), "exe")
		return err
	}
	for pid := 1000; pid < 1006; pid++ {
		if want := pid%3 != 1001%3; (vfs.Errno(exe(pid)) == syscall.EACCES) != want {
			t.Errorf("exe of %d is refused: %v", pid, !want)
		}
	}
	leaf.change(func() { clear(leaf.refuses) }) // as after an exec
	for pid := 1000; pid < 1006; pid++ {
		if err := exe(pid); err != nil {
			t.Errorf("exe of %d: %v", pid, err)
		}
	}
}

// TestNamespacesByName: that processes have a namespace of a kind is asked of one of them, and
// what such a link says on the node is no name beside it.
func TestNamespacesByName(t *testing.T) {
	const many = 40
	leaf := manyUsers(many)
	c := fakeCluster(t, Config{Policy: policy(t, keepNegative), Access: authority(everybodyEverywhere)}, newFakeLeaf(), leaf)
	root := rootOf(t, c, vfs.Root, "")
	names(t, root)
	leaf.requests()
	for i := range many {
		pid := strconv.Itoa(gpid.Stride + 1000 + i)
		if _, _, err := vfs.WalkPath(t.Context(), root, pid, "ns", "net"); err != nil {
			t.Fatal(err)
		}
		absent(t, root, pid, "ns", "net:[4026531840]")
	}
	if made := leaf.requests(); len(made) > 3 {
		t.Errorf("%d exchanges: %v", len(made), made[:5])
	}
	absent(t, root, strconv.Itoa(gpid.Stride+1000), "ns", "time")
}
