package aggregate

import (
	"testing"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// cluster/cgroups asks a node for the cgroups of all its processes at once, and as often
// as the policy says.
func TestJobsExchanges(t *testing.T) {
	proc := manyProcesses(t, 20)
	for rules, most := range map[string][2]int64{
		keepLong: {2, 1}, // who there is is asked each time
		swept:    {2, 2}, // and all cgroups, by the default rule, which is never
	} {
		c, counts := newCountedCluster(t, Config{Policy: policy(t, rules)}, proc, 2)
		root := rootOf(t, c, vfs.Root, "")
		for round, want := range most {
			before := counts["n1"].Load()
			read(t, root, "cluster", "cgroups")
			if n := counts["n1"].Load() - before; n != want {
				t.Errorf("%s: round %d made %d exchanges, not %d", rules, round, n, want)
			}
		}
	}
}
