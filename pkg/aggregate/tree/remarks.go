package tree

import (
	"fmt"
	"syscall"
	"time"

	"github.com/aggrfs/aggrfs/internal/plaintext"
	"github.com/aggrfs/aggrfs/pkg/aggregate/proctable"
)

// A table of processes (cluster/ps, cluster/jobs) ends with remarks where it is not whole, a
// line each, which come out of the same sweep as its rows:
//
//	# missing NODE REASON   none of the node's processes are among the rows
//	# lacking NODE REASON   some of them are not
//	# stale NODE AGE        its rows are that old, since it did not answer in time
//
// No row begins with "#". A reason is escaped as all text in tables is.

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
func (v viewTree) appendRemarks(b []byte, n *proctable.Node, r proctable.Roster, l lack) []byte {
	if !v.Reaches(n) {
		return b
	}
	if r.Table == nil {
		return fmt.Appendf(b, "# missing %s %s\n", n.Name, plaintext.Escape(n.Reason(r.Err)))
	}
	many := func(count int) string {
		if v.Limited() {
			return "some processes"
		}
		return fmt.Sprintf("%d processes", count)
	}
	lacking := func(text string) {
		b = fmt.Appendf(b, "# lacking %s %s\n", n.Name, plaintext.Escape(text))
	}
	if skipped := r.Table.Skipped(); skipped > 0 || r.Table.Facts().Lacks != 0 {
		lacking(proctable.Lacking(many(skipped), skipped, r.Table.Facts().Lacks).Error())
	}
	if l.unread > 0 {
		lacking(many(l.unread) + " could not be read: " + n.Reason(l.why))
	}
	if l.unnum > 0 {
		lacking(many(l.unnum) + " have no global pid (see cluster/status)")
	}
	if r.Age > 0 {
		b = fmt.Appendf(b, "# stale %s %.1fs\n", n.Name, max(r.Age, 100*time.Millisecond).Seconds())
	}
	return b
}
