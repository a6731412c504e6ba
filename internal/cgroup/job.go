package cgroup

import "strings"

// findJob fills in the job that the path leads to. Hierarchies of cgroup v1 may lead to
// different depths of the same job: what the first left open the next may say.
func (p *Place) findJob(at *path) {
	var found Place
	if !found.slurm(at) && !found.pbs(at) && !found.torque(at) && !found.lsf(at) {
		return
	}
	if p.Job == "" {
		p.Scheduler, p.Job = found.Scheduler, found.Job
	}
	if found.Scheduler == p.Scheduler && found.Job == p.Job && p.Task == "" {
		if found.Step != "" {
			p.Step, p.Task = found.Step, found.Task
		}
	}
}

// slurm finds a job of Slurm's.
//
// cgroup v1 (xcgroup.c): /slurm/uid_1001/job_42/step_0/task_0, with /slurm_<node> in
// place of /slurm where Slurm is built with --enable-multiple-slurmd, as Debian's is.
//
// cgroup v2 (cgroup_v2.c, since 22.05): slurmstepd.scope/job_42/step_0/user/task_0, or
// <node>_slurmstepd.scope, below the slice that CgroupSlice in cgroup.conf names,
// system.slice by default; since 26.05 with the job's SLUID in place of job_42, unless
// CgroupJobIdPaths is set.
func (p *Place) slurm(at *path) bool {
	var rest []string
	if top := at.at(0); top == "slurm" || strings.HasPrefix(top, "slurm_") {
		uid, ok := strings.CutPrefix(at.at(1), "uid_")
		if _, valid := parseUID(uid); !ok || !valid {
			return false
		}
		rest = at.elems[2:]
		p.Job = number(cutPrefix(rest, 0, "job_"))
	} else {
		n := at.slices(0)
		if !isSlurmScope(at.at(n)) || !rootSlices(at.elems[:n]) {
			return false
		}
		rest = at.elems[n+1:]
		if p.Job = number(cutPrefix(rest, 0, "job_")); p.Job == "" {
			p.Job = sluid(cutPrefix(rest, 0, ""))
		}
	}
	if p.Job == "" {
		return false
	}
	p.Scheduler = "slurm"
	if p.Step = stepName(cutPrefix(rest, 1, "step_")); p.Step == "" {
		return true
	}
	task := 2
	if cutPrefix(rest, 2, "") == "user" {
		task = 3
	}
	if p.Task = cutPrefix(rest, task, "task_"); p.Task != "special" {
		p.Task = number(p.Task)
	}
	return true
}

// isSlurmScope reports whether an element is the scope of Slurm's step managers.
func isSlurmScope(name string) bool {
	node, ok := strings.CutSuffix(name, "slurmstepd.scope")
	if !ok || node == "" {
		return ok
	}
	return len(node) > 1 && strings.HasSuffix(node, "_") && !strings.Contains(node, `\`) && isUnit(name)
}

// rootSlices reports whether only root puts units with names of its choice into the
// slices: in those of users, of virtual machines and of pods the name is, at least in
// part, a user's.
func rootSlices(slices []string) bool {
	for _, s := range slices {
		if s == "user.slice" || s == "machine.slice" || strings.HasPrefix(s, "user-") || strings.HasPrefix(s, "machine-") || strings.HasPrefix(s, "kubepods") {
			return false
		}
	}
	return true
}

// sluid is a SLUID if s is one: an "s" and the 13 digits of a 64-bit number in Crockford's
// base 32 (sluid.h). It has no job number in it: it is a cluster, a time and a counter.
func sluid(s string) string {
	const digits = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
	if len(s) != 14 || s[0] != 's' || strings.IndexByte(digits[:16], s[1]) < 0 {
		return ""
	}
	for i := 2; i < len(s); i++ {
		if strings.IndexByte(digits, s[i]) < 0 {
			return ""
		}
	}
	return s
}

// stepName is a step of Slurm's (log_build_step_id_str): a number, for a component of a
// heterogeneous job with "+" and another one, or the name of a special step.
func stepName(s string) string {
	switch s {
	case "batch", "extern", "interactive", "TBD":
		return s
	}
	n, component, het := strings.Cut(s, "+")
	if number(n) == "" || het && number(component) == "" {
		return ""
	}
	return s
}

// pbs finds a job of PBS's (the hook pbs_cgroups). The top directory is the hook's
// cgroup_prefix, "pbs_jobs" and formerly "pbspro" by default:
// /pbs_jobs.service/jobid/42.server; /pbspro.slice/pbspro-42.server.slice, escaped, up to
// 19.1; /pbspro/42.server without systemd; /pbs_jobs.service/jobs/42.server on cgroup v2.
func (p *Place) pbs(at *path) bool {
	switch top := at.at(0); {
	case (top == "pbs_jobs.service" || top == "pbspro.service") && (at.at(1) == "jobid" || at.at(1) == "jobs"):
		p.Job = pbsJob(unescape(at.at(2)))
	case top == "pbspro.slice" || top == "pbs_jobs.slice":
		p.Job = pbsJob(unescape(cutBoth(at.at(1), strings.TrimSuffix(top, ".slice")+"-", ".slice")))
	case top == "pbspro" || top == "pbs_jobs":
		p.Job = pbsJob(at.at(1))
	}
	p.Scheduler = "pbs"
	return p.Job != ""
}

// pbsJob is a job of PBS's or Torque's if s is one: a number, for an element of an array
// with an index, and perhaps the server's name.
func pbsJob(s string) string {
	id, server, named := strings.Cut(s, ".")
	n, index, array := strings.Cut(id, "[")
	if number(n) == "" || array && number(strings.TrimSuffix(index, "]")) == "" && index != "]" || named && !isPlain(server) {
		return ""
	}
	return s
}

// torque finds a job of Torque's (trq_cgroups.c): /torque/42.server.
func (p *Place) torque(at *path) bool {
	if at.at(0) == "torque" {
		p.Scheduler, p.Job = "torque", pbsJob(at.at(1))
	}
	return p.Job != ""
}

// lsf finds a job of LSF's: /lsf/<cluster>/job.42.<pid>.<time>.
func (p *Place) lsf(at *path) bool {
	if at.at(0) == "lsf" {
		id, _, _ := strings.Cut(cutPrefix(at.elems, 2, "job."), ".")
		p.Scheduler, p.Job = "lsf", pbsJob(id)
	}
	return p.Job != ""
}

// fluxJob is the job of a unit of Flux's: imp-shell-<rank>-<job>.service, where the job
// is an id in base 58 with an "f" before it (RFC 19 of Flux).
func fluxJob(unit string) string {
	rank, job, ok := strings.Cut(cutBoth(unit, "imp-shell-", ".service"), "-")
	if !ok || number(rank) == "" || len(job) < 2 || len(job) > 12 || job[0] != 'f' {
		return ""
	}
	for i := range len(job) {
		if !isAlnum(job[i]) || strings.IndexByte("0OIl", job[i]) >= 0 {
			return ""
		}
	}
	return job
}

// cutPrefix is element i without its prefix, empty if there is none or it has not.
func cutPrefix(elems []string, i int, prefix string) string {
	if i >= len(elems) {
		return ""
	}
	s, ok := strings.CutPrefix(elems[i], prefix)
	if !ok {
		return ""
	}
	return s
}

// number is a decimal of 32 bits or less, without leading zeros, if s is one.
func number(s string) string {
	if len(s) == 0 || len(s) > 10 {
		return ""
	}
	for i := range len(s) {
		if !isDigit(s[i]) {
			return ""
		}
	}
	if s = strings.TrimLeft(s, "0"); s == "" {
		return "0"
	}
	return s
}

// isPlain reports whether s is a name that can be printed as it is: letters, digits,
// dots, dashes and underscores.
func isPlain(s string) bool {
	for i := range len(s) {
		if !isAlnum(s[i]) && strings.IndexByte(".-_", s[i]) < 0 {
			return false
		}
	}
	return s != ""
}
