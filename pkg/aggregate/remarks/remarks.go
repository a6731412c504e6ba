package clusterdir

import (
	"fmt"
	"syscall"
	"time"

	"github.com/aggrfs/aggrfs/pkg/aggregate/proctable"
	"github.com/aggrfs/aggrfs/pkg/aggregate/report"
)

// A lack is what a node's rows lack besides those that its table has not.
type lack struct {
	unread int   // processes that the node did not tell of when it was asked for each
	why    error // the first reason
	unnum  int   // processes without a global pid
}

// note notes that a row of a table has no line.
func (l *lack) note(n *proctable.Node, row proctable.Row, stat int) {
	if n.GPID(row.PID()) == 0 {
		l.unnum++
		return
	}
	_, errno := row.Table.File(row.I, stat)
	switch errno {
	case syscall.ENOENT, syscall.ESRCH: // it has ended
		return
	case 0:
		errno = syscall.EIO // it makes no sense
	}
	l.unread++
	if l.why == nil {
		l.why = fmt.Errorf("stat: %w", errno)
	}
}

// appendRemarks appends what is to be said of a node's rows in a table for v.
func appendRemarks(v viewTables, b []byte, n *proctable.Node, r proctable.Roster, l lack) []byte {
	if !v.Reaches(n) {
		return b
	}
	say := func(remark report.Remark) {
		remark.Node = string(n.Name)
		b = remark.AppendText(b)
	}
	if r.Table == nil {
		say(report.Remark{Kind: report.Missing, Reason: n.Reason(r.Err)})
		return b
	}
	many := func(count int) string {
		if v.Limited() {
			return "some processes"
		}
		return fmt.Sprintf("%d processes", count)
	}
	if skipped := r.Table.Skipped(); skipped > 0 || r.Table.Facts().Lacks != 0 {
		say(report.Remark{Kind: report.Lacking, Reason: proctable.Lacking(many(skipped), skipped, r.Table.Facts().Lacks).Error()})
	}
	if l.unread > 0 {
		say(report.Remark{Kind: report.Lacking, Reason: many(l.unread) + " could not be read: " + n.Reason(l.why)})
	}
	if l.unnum > 0 {
		say(report.Remark{Kind: report.Lacking, Reason: many(l.unnum) + " have no global pid (see cluster/status)"})
	}
	if r.Age > 0 {
		say(report.Remark{Kind: report.Stale, Age: report.Age(max(r.Age, 100*time.Millisecond))})
	}
	return b
}
