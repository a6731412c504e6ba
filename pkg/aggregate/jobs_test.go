package aggregate

import "testing"

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
