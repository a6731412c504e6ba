package report

import "github.com/aggrfs/aggrfs/pkg/aggregate/gpid"

// A Job is a row of cluster/cgroups: of what a process is part by its cgroup. What it is not part
// of is "".
type Job struct {
	GPID      gpid.GPID `column:"GPID,required"`
	Job       string    `column:"JOB,required"` // of a batch system
	Step      string    `column:"STEP"`         // of the job
	Unit      string    `column:"UNIT"`         // of systemd
	Container string    `column:"CONTAINER"`    // its id, or its name
	Pod       string    `column:"POD"`          // the uid of its Kubernetes pod
}

// JobsHeader is the first line of cluster/cgroups.
const JobsHeader = "GPID JOB STEP UNIT CONTAINER POD\n"

// AppendText writes the row as a line of cluster/cgroups.
func (j Job) AppendText(b []byte) []byte {
	b = appendNumber(b, int64(j.GPID))
	for _, name := range []string{j.Job, j.Step, j.Unit, j.Container, j.Pod} {
		b = appendWord(append(b, ' '), name)
	}
	return append(b, '\n')
}

// ParseJobs reads cluster/cgroups, and what it lacks.
func ParseJobs(text []byte) ([]Job, []Remark, error) { return readAll[Job]("cluster/cgroups", text) }

// A Detail is a row of cluster/details: what aggrfs ps shows of a process if it is asked for.
type Detail struct {
	GPID     gpid.GPID `column:"GPID,required"`
	VSZ      int64     `column:"VSZ,required"`  // virtual memory in KiB
	Threads  int64     `column:"NLWP,required"` // how many there are
	Priority int64     `column:"PRI,required"`  // as pri of ps(1) has it: larger is sooner
	Nice     *int64    `column:"NI"`            // nil where the policy has none
}

// DetailsHeader is the first line of cluster/details.
const DetailsHeader = "GPID VSZ NLWP PRI NI\n"

// AppendText writes the row as a line of cluster/details.
func (d Detail) AppendText(b []byte) []byte {
	b = appendNumber(b, int64(d.GPID))
	for _, n := range []int64{d.VSZ, d.Threads, d.Priority} {
		b = appendNumber(append(b, ' '), n)
	}
	if b = append(b, ' '); d.Nice == nil {
		return append(b, "-\n"...)
	}
	return append(appendNumber(b, *d.Nice), '\n')
}

// ParseDetails reads cluster/details, and what it lacks.
func ParseDetails(text []byte) ([]Detail, []Remark, error) {
	return readAll[Detail]("cluster/details", text)
}
