package procfs9p

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/aggrfs/aggrfs/pkg/vfs"
	"github.com/aggrfs/aggrfs/pkg/vfs/vfstest"
)

// TestConformance runs the suite for trees over a process that does nothing
// and the files around it.
func TestConformance(t *testing.T) {
	s := newSpace(t)
	const pid = 99
	again := func() {
		if got := s.do(fmt.Sprintf("echo %d > /proc/sys/kernel/ns_last_pid; sleep 1000 & echo $!", pid-1)); got != strconv.Itoa(pid) {
			t.Fatalf("pid %s", got)
		}
	}
	l := newLeaf(t, Config{Root: s.proc})
	for name, who := range map[string]vfs.Identity{"root": vfs.Root, "user": {UID: testUID, GID: testUID, Groups: []uint32{7}}} {
		t.Run(name, func(t *testing.T) {
			vfstest.TestTree(t, vfstest.Options{
				Tree: l, Who: who, MaxEntries: 1500,
				Skip: func(p string) bool {
					return strings.HasPrefix(p, "sys/net/") || strings.HasPrefix(p, "irq/") ||
						strings.Contains(p, "/task/") || strings.Contains(p, "/net/")
				},
				// A process that does nothing does not change, but for its clocks.
				Moving: func(p string) bool {
					rel, ok := strings.CutPrefix(p, "1/")
					return p != "1" && (!ok || changing[rel] || shared[rel] || rel == "smaps" || rel == "status")
				},
				// What cannot be read natively cannot be read here.
				MayFail: func(p string) bool {
					_, err := os.ReadFile(s.proc + "/" + p)
					return err != nil
				},
				Unlisted: []string{"1/task/1/stat"},
				Others:   []vfs.Identity{{UID: testUID + 1, GID: testUID + 1}},
				Ending: func(t *testing.T) (string, func(), func()) {
					again()
					end := func() { s.do(fmt.Sprintf("kill -9 %d; wait %d; echo done", pid, pid)) }
					t.Cleanup(end)
					return strconv.Itoa(pid), end, again
				},
			})
		})
	}
	t.Run("snapshot", func(t *testing.T) {
		vfstest.TestTree(t, vfstest.Options{Tree: l, Who: vfs.Root, Aname: SnapshotName})
	})
}
