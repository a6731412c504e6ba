package aggregate

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/cachepolicy"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// startTime is field 22 of a process's stat file.
func startTime(t *testing.T, root vfs.Dir, path ...string) string {
	t.Helper()
	text := read(t, root, append(path, "stat")...)
	return strings.Fields(text[strings.LastIndexByte(text, ')')+1:])[19]
}

// A process that lives has one start time, whatever the wall clock of its node does and
// however often the connection is made anew, for readers of either boot.
func TestStartTimeStays(t *testing.T) {
	head, leaf := newFakeLeaf(), newFakeLeaf()
	head.add(1, 0, 0, 1, 1)
	leaf.add(7, 0, 0, 7, 7)
	born := leaf.facts.BootTime
	c := fakeCluster(t, Config{Policy: cachepolicy.Sweep(time.Millisecond)}, head, leaf)
	g := strconv.Itoa(gpid.Stride + 7)
	roots := []vfs.Dir{rootOf(t, c, vfs.Root, ""), rootOf(t, c, vfs.Root, "/timens/100000000")}
	var want []string
	for _, root := range roots {
		want = append(want, startTime(t, root, g))
	}
	if want[0] == want[1] {
		t.Fatalf("two boots, one start time: %v", want)
	}
	for i, step := range []time.Duration{time.Hour, -time.Hour, 700 * time.Millisecond, 100 * 24 * time.Hour} {
		for _, l := range []*fakeLeaf{head, leaf} {
			l.change(func() { l.facts.BootTime = born.Add(step) })
			if i%2 == 1 {
				l.cut()
			}
		}
		eventually(t, "a sweep with the new boot time", func() bool {
			names(t, roots[0])
			for name, l := range map[string]*fakeLeaf{"head": head, "n1": leaf} {
				if !l.connected() || stateOf(t, roots[0], name) != "up" { // it was cut off, and may not know yet
					return false
				}
			}
			return strings.Count(read(t, roots[0], "cluster", "nodes"), born.Add(step).UTC().Format(time.RFC3339)) == 2
		})
		for k, root := range roots {
			for _, path := range [][]string{{g}, {"n1:7"}} {
				if got := startTime(t, root, path...); got != want[k] {
					t.Errorf("after a step of %v, reader %d: %v starts at %s, was %s", step, k, path, got, want[k])
				}
			}
			if got := startTime(t, root, "head:1"); k == 0 && got != "4001" {
				t.Errorf("after a step of %v the head's process starts at %s", step, got)
			}
		}
	}
	// Another boot is another matter.
	leaf.reboot("boot-2")
	eventually(t, "the new boot", func() bool { names(t, roots[0]); return leaf.connected() && stateOf(t, roots[0], "n1") == "up" })
	if got := startTime(t, roots[0], "n1:7"); got == want[0] {
		t.Errorf("after a reboot it starts at %s as before", got)
	}
}
