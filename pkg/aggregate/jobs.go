package aggregate

import (
	"bytes"
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// jobsTable is cluster/jobs: which process is part of which job of Slurm's, by its
// cgroup; a line a process that is, its gpid and the job's number. It takes an exchange
// with each node.
func (v *view) jobsTable(ctx context.Context) []byte {
	nodes := v.nodes()
	parts := eachNode(ctx, v.c, nodes, v.jobsOf)
	return bytes.Join(append([][]byte{[]byte("GPID JOB\n")}, parts...), nil)
}

// jobsOf are the lines of one node. A node that does not say has none.
func (v *view) jobsOf(ctx context.Context, n *node) (lines []byte) {
	r := n.roster(ctx, v.who)
	if r.t == nil {
		return nil
	}
	got, err := n.exchangeSnapshot("cgroup")
	if err != nil {
		return nil
	}
	m := v.c.mapping(n, r.t.Facts(), v.host)
	for i := range r.t.Len() {
		if !r.has(i) || !v.sees(r.t.UID(i)) {
			continue
		}
		if v.denies(strconv.Itoa(int(r.t.PID(i))), "cgroup") {
			continue
		}
		k, ok := got.Find(r.t.PID(i))
		g := n.gpid(PID(r.t.PID(i)))
		if !ok || g == 0 || got.ID(k) != r.t.ID(i) {
			continue
		}
		var text []byte
		if n.reads(v.who) || n.form(r.t, i, v.who) != unknown { // it is the same for all
			text, _ = got.File(k, 0)
		} else {
			p := r.t.Proc(i)
			proc := newProcess(n, PID(p.PID), p.ID, p.UID)
			proc.m = m
			text, _ = vfs.ReadFile(ctx, newProcessDir(v, v.id, proc, rowAttr(r.t, i, 0)), maxRewrite, "cgroup")
		}
		if job := slurmJob(text); job != "" {
			lines = fmt.Appendf(lines, "%d %s\n", g, job)
		}
	}
	return lines
}

// jobInPath finds a job in the path of a cgroup: /slurm/uid_1000/job_42/step_0 with
// cgroup v1, /system.slice/slurmstepd.scope/job_42/step_0/user/task_0 with v2; see
// cgroups in Slurm's documentation.
var jobInPath = regexp.MustCompile(`/slurm[^\n]*/job_([0-9]{1,10})(?:/|\n|$)`)

// slurmJob is the number of the job that a cgroup file tells of, "" for none.
func slurmJob(cgroup []byte) string {
	if !bytes.Contains(cgroup, []byte("/job_")) {
		return ""
	}
	if m := jobInPath.FindSubmatch(cgroup); m != nil {
		return strings.TrimLeft(string(m[1]), "0")
	}
	return ""
}
