package aggregate

import (
	"strings"
	"syscall"
	"testing"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// TestSpellings walks one set of nodes by all spellings of it, and one user by name
// and number: each is one object.
func TestSpellings(t *testing.T) {
	c := newTestCluster(t, Config{}, "n1", "n2", "n3", "n10")
	top := rootOf(t, c, vfs.Root, "")
	ids := map[uint64]string{}
	for _, spellings := range [][]string{
		{"n[1-3]", "n[1,2,3]", "n1,n2,n3", "n3,n2,n1", "n1 n2\nn3", ",n1,,n[2-3],", "n1,n1,n[1-3]", "n[1-10]!n[4-10]", "n[1-3,10]&n[1-9]", "n[1-2]^n3"},
		{"n10", "n[10]", "n[10-10]", " n10 "},
		{"n[2-3]", "n3,n2", "n[1-3]!n1"},
	} {
		first := walkDir(t, top, "sets", spellings[0])
		file := func(r vfs.Dir) uint64 { return walkDir(t, r, "nodes").ID() }
		if other, twice := ids[first.ID()]; twice {
			t.Errorf("%s and %s are one object", spellings[0], other)
		}
		ids[first.ID()] = spellings[0]
		for _, spelling := range spellings {
			set := walkDir(t, top, "sets", spelling)
			attached := rootOf(t, c, vfs.Root, "/sets/"+spelling)
			if set.ID() != first.ID() || attached.ID() != first.ID() || file(set) != file(first) {
				t.Errorf("%q is another object than %q", spelling, spellings[0])
			}
		}
	}
	name, number := walkDir(t, top, "users", "root"), walkDir(t, top, "users", "0")
	if name.ID() != number.ID() {
		t.Error("users/root and users/0 are two objects")
	}
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
