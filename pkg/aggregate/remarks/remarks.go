// Package remarks says of a table of processes what it lacks of a node.
package remarks

import (
	"fmt"
	"syscall"
	"time"

	"github.com/aggrfs/aggrfs/pkg/aggregate/proctable"
	"github.com/aggrfs/aggrfs/pkg/aggregate/report"
	"github.com/aggrfs/aggrfs/pkg/aggregate/view"
)

// A Lack is what a node's rows lack besides those that its table has not.
type Lack struct {
	Unread int   // processes that the node did not tell of when it was asked for each
	Why    error // the first reason
	Unnum  int   // processes without a global pid
}

// Note notes that a row of a table has no line.
func (l *Lack) Note(n *proctable.Node, row proctable.Row, stat int) {
	if n.GPID(row.PID()) == 0 {
		l.Unnum++
		return
	}
	_, errno := row.Table.File(row.I, stat)
	switch errno {
	case syscall.ENOENT, syscall.ESRCH: // it has ended
		return
	case 0:
		errno = syscall.EIO // it makes no sense
	}
	l.Unread++
	if l.Why == nil {
		l.Why = fmt.Errorf("stat: %w", errno)
	}
}

// Append appends what is to be said of a node's rows in a table for v.
func Append(v *view.View, b []byte, n *proctable.Node, r proctable.Roster, l Lack) []byte {
	for _, remark := range Of(v, n, r, l) {
		b = remark.AppendText(b)
	}
	return b
}

// Of are the remarks about a node.
func Of(v *view.View, n *proctable.Node, r proctable.Roster, l Lack) (all []report.Remark) {
	if !v.Reaches(n) {
		return nil
	}
	say := func(remark report.Remark) {
		remark.Node = string(n.Name)
		all = append(all, remark)
	}
	if r.Table == nil {
		say(report.Remark{Kind: report.Missing, Reason: n.Reason(r.Err)})
		return all
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
	if l.Unread > 0 {
		say(report.Remark{Kind: report.Lacking, Reason: many(l.Unread) + " could not be read: " + n.Reason(l.Why)})
	}
	if l.Unnum > 0 {
		say(report.Remark{Kind: report.Lacking, Reason: many(l.Unnum) + " have no global pid (see cluster/status)"})
	}
	if r.Age > 0 {
		say(report.Remark{Kind: report.Stale, Age: report.Age(max(r.Age, 100*time.Millisecond))})
	}
	return all
}
