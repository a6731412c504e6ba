package aggregate

import (
	"bytes"
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/aggrfs/aggrfs/pkg/cachepolicy"
	"github.com/aggrfs/aggrfs/pkg/snapshot"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// jobsTable is cluster/jobs: which process is part of which job of Slurm's, by its
// cgroup; a line a process that is, its gpid and the job's number.
func (v *view) jobsTable(ctx context.Context) []byte {
	nodes := v.nodes()
	parts := eachNode(ctx, v.c, nodes, v.jobsOf)
	return bytes.Join(append([][]byte{[]byte("GPID JOB\n")}, parts...), nil)
}

// jobsOf are the lines of one node. A node that does not say has none. Where the
// policy lets cgroup be held it is read process by process, which one exchange in
// that time makes cheap; else one exchange brings it of all.
func (v *view) jobsOf(ctx context.Context, n *node) (lines []byte) {
	r := n.roster(ctx, v.who)
	if r.t == nil {
		return nil
	}
	var got *snapshot.Table
	for i := range r.t.Len() {
		if !r.has(i) || !v.sees(r.t.UID(i)) || v.denies(strconv.Itoa(int(r.t.PID(i))), "cgroup") {
			continue
		}
		g := n.gpid(PID(r.t.PID(i)))
		if g == 0 {
			continue
		}
		text, err := v.cgroup(ctx, n, r.t, i, &got)
		if cachepolicy.Unanswered(err) {
			return lines
		}
		if job := slurmJob(text); job != "" {
			lines = fmt.Appendf(lines, "%d %s\n", g, job)
		}
	}
	return lines
}

// cgroup is the file of row i as the view's identity may have it. all is what was
// brought of all processes, if it was.
func (v *view) cgroup(ctx context.Context, n *node, t *table, i int, all **snapshot.Table) (text []byte, err error) {
	p := t.Proc(i)
	path := strconv.Itoa(int(p.PID)) + "/cgroup"
	held := n.store != nil && n.store.Policy().Rule(string(n.name), path).Cache > 0
	if held || n.form(t, i, v.who) == unknown { // else it is the same for all
		proc := newProcess(n, PID(p.PID), p.ID, p.UID)
		return vfs.ReadFile(ctx, newProcessDir(v, v.id, proc, rowAttr(t, i, 0)), maxRewrite, "cgroup")
	}
	if *all == nil {
		if *all, err = n.exchangeSnapshot("cgroup"); err != nil {
			return nil, err
		}
	}
	k, ok := (*all).Find(p.PID)
	if !ok || (*all).ID(k) != p.ID {
		return nil, nil // it has ended
	}
	text, _ = (*all).File(k, 0)
	return text, nil
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
