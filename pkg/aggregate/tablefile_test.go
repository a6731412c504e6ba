package aggregate

import (
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/pkg/cachepolicy"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// The state of a file of a table is the same for as long as no difference between two
// sweeps names its process, and another when one does.
func TestTableFileState(t *testing.T) {
	const keep = 500 * time.Millisecond
	quiet, stopped := sleeper(t, 0), sleeper(t, 0)
	c := newTestCluster(t, Config{Policy: cachepolicy.Sweep(keep)}, "n1")
	root := rootOf(t, c, vfs.Root, "")
	states := func() (of map[int]uint64) {
		t.Helper()
		eventually(t, "states are known", func() bool {
			names(t, root) // sweeps, if need be
			of = map[int]uint64{}
			for _, pid := range []int{quiet, stopped} {
				n, _, err := vfs.WalkPath(t.Context(), root, strconv.Itoa(gpidStride+pid), "stat")
				if err != nil {
					t.Fatal(err)
				}
				if f, ok := n.(vfs.Stater); ok { // while the table is good
					if s, ok := f.State(); ok {
						of[pid] = s
					}
				}
			}
			return len(of) == 2
		})
		return of
	}
	first := states()
	if err := syscall.Kill(stopped, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the stopped process is in another state", func() bool {
		return states()[stopped] != first[stopped]
	})
	if states()[quiet] != first[quiet] {
		t.Error("the other is, too")
	}
}
