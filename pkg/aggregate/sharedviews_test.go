package aggregate

import (
	"fmt"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// TestSpellings walks one set of nodes by all spellings of it, and one user by name
// and number: each is one object, and holds one view.
func TestSpellings(t *testing.T) {
	c := newTestCluster(t, Config{}, "n1", "n2", "n3", "n10")
	top := rootOf(t, c, vfs.Root, "")
	ids := map[uint64]string{}
	for _, spellings := range [][]string{
		{"n[1-3]", "n[1,2,3]", "n1,n2,n3", "n3,n2,n1", "n1 n2\nn3", ",n1,,n[2-3],", "n1,n1,n[1-3]", "n[1-10]!n[4-10]", "n[1-3,10]&n[1-9]", "n[1-2]^n3"},
		{"n10", "n[10]", "n[10-10]", " n10 "},
		{"n[2-3]", "n3,n2", "n[1-3]!n1"},
	} {
		first := walkDir(t, top, "sets", spellings[0]).(*root)
		file := func(r *root) uint64 { return walkDir(t, r, "nodes").ID() }
		if other, twice := ids[first.ID()]; twice {
			t.Errorf("%s and %s are one object", spellings[0], other)
		}
		ids[first.ID()] = spellings[0]
		for _, spelling := range spellings {
			set := walkDir(t, top, "sets", spelling).(*root)
			attached := rootOf(t, c, vfs.Root, "/sets/"+spelling).(*root)
			if set.ID() != first.ID() || attached.ID() != first.ID() || file(set) != file(first) {
				t.Errorf("%q is another object than %q", spelling, spellings[0])
			}
			if set.v != first.v || attached.v != first.v {
				t.Errorf("%q holds another view than %q", spelling, spellings[0])
			}
		}
		if other := rootOf(t, c, vfs.Identity{UID: 1, GID: 1}, ""); other.(*root).v == top.(*root).v {
			t.Error("two identities have one view")
		}
		if ahead := rootOf(t, c, vfs.Root, "/timens/5/sets/"+spellings[0]).(*root); ahead.v == first.v {
			t.Error("readers with two clocks have one view")
		}
	}
	name, number := walkDir(t, top, "users", "root").(*root), walkDir(t, top, "users", "0").(*root)
	if name.ID() != number.ID() || name.v != number.v {
		t.Error("users/root and users/0 are two objects")
	}
}

// TestViewsAreLetGo walks many sets and holds none of them.
func TestViewsAreLetGo(t *testing.T) {
	var nodes []gpid.NodeName
	for i := range 8 {
		nodes = append(nodes, gpid.NodeName(fmt.Sprintf("n%d", i)))
	}
	c := newTestCluster(t, Config{}, nodes...)
	top := rootOf(t, c, vfs.Root, "")
	for i := 1; i < 1<<len(nodes); i++ {
		var set []string
		for k, name := range nodes {
			if i>>k&1 == 1 {
				set = append(set, string(name))
			}
		}
		walkDir(t, top, "sets", strings.Join(set, ","))
	}
	held := func() int {
		c.views.mu.Lock()
		defer c.views.mu.Unlock()
		return len(c.views.views)
	}
	const most = 8 // the top, and what the compiler keeps
	for deadline := time.Now().Add(20 * time.Second); held() > most; time.Sleep(10 * time.Millisecond) {
		if runtime.GC(); time.Now().After(deadline) {
			t.Fatalf("%d views are held", held())
		}
	}
	runtime.KeepAlive(top)
}

// TestLargeSet walks what stands for many more names than there are nodes.
func TestLargeSet(t *testing.T) {
	c := newTestCluster(t, Config{}, "n1")
	top := rootOf(t, c, vfs.Root, "")
	for _, name := range []string{"n[1-99999]", "n1!n[2-99999]", "n[1-99999]&n1", strings.Repeat("[0-9]", 50)} {
		allocated := testing.AllocsPerRun(3, func() {
			if _, _, err := vfs.WalkPath(t.Context(), top, "sets", name); vfs.Errno(err) != syscall.ENOENT {
				t.Errorf("%s: %v", name, err)
			}
		})
		if allocated > 1000 {
			t.Errorf("%s: %v allocations", name, allocated)
		}
	}
}
