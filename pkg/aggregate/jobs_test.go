package aggregate

import (
	"testing"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

func TestSlurmJob(t *testing.T) {
	for cgroup, want := range map[string]string{
		"": "", "0::/\n": "",
		"0::/system.slice/slurmstepd.scope/job_4711/step_0/user/task_0\n":                  "4711",
		"12:pids:/\n5:memory:/slurm/uid_1001/job_42/step_batch/task_0\n1:name=systemd:/\n": "42",
		"4:memory:/slurm_n1/uid_1/job_7\n":                                                 "7",
		"0::/user.slice/job_5/x\n":                                                         "",
		"0::/slurm/job_12x/y\n":                                                            "",
	} {
		if got := slurmJob([]byte(cgroup)); got != want {
			t.Errorf("%q: %q, want %q", cgroup, got, want)
		}
	}
}

// cluster/jobs asks a node for the cgroups of all its processes at once, and as often
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
			read(t, root, "cluster", "jobs")
			if n := counts["n1"].Load() - before; n != want {
				t.Errorf("%s: round %d made %d exchanges, not %d", rules, round, n, want)
			}
		}
	}
}
