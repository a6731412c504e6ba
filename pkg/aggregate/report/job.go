package report

import (
	"fmt"

	"github.com/aggrfs/aggrfs/internal/plaintext"
	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
)

// A Job is a row of cluster/cgroups: which job of a batch system a process is part of.
type Job struct {
	GPID gpid.GPID `column:"GPID,required"`
	Job  string    `column:"JOB,required"`
}

// JobsHeader is the first line of cluster/cgroups.
const JobsHeader = "GPID JOB\n"

// AppendText writes the row as a line of cluster/cgroups.
func (j Job) AppendText(b []byte) []byte {
	return fmt.Appendf(b, "%d %s\n", j.GPID, plaintext.Cell(j.Job))
}

// ParseJobs reads cluster/cgroups, and what it lacks.
func ParseJobs(text []byte) ([]Job, []Remark, error) { return readAll[Job]("cluster/cgroups", text) }
