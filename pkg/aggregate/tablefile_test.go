package aggregate

import (
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
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
				n, _, err := vfs.WalkPath(t.Context(), root, strconv.Itoa(gpid.Stride+pid), "stat")
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
	// The kernel may touch a process that does nothing, by taking memory from it say:
	// then it is another by right, but not each time.
	for round := range 10 {
		signal := []syscall.Signal{syscall.SIGSTOP, syscall.SIGCONT}[round%2]
		before := states()
		if err := syscall.Kill(stopped, signal); err != nil {
			t.Fatal(err)
		}
		var after map[int]uint64
		eventually(t, "the process that got a signal is in another state", func() bool {
			after = states()
			return after[stopped] != before[stopped]
		})
		if after[quiet] == before[quiet] {
			return
		}
	}
	t.Error("whenever one process changes, another is in another state, too")
}
