package aggregate

import (
	"fmt"
	"syscall"
	"time"

	"github.com/aggrfs/aggrfs/internal/plaintext"
	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
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

// note notes that row i of a table has no line.
func (l *lack) note(n *node, t *table, i, stat int) {
	if n.gpid(gpid.PID(t.PID(i))) == 0 {
		l.unnum++
		return
	}
	_, errno := t.File(i, stat)
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
func (v *view) appendRemarks(b []byte, n *node, r roster, l lack) []byte {
	if !v.reaches(n) {
		return b
	}
	if r.t == nil {
		return fmt.Appendf(b, "# missing %s %s\n", n.name, plaintext.Escape(n.reason(r.err)))
	}
	many := func(count int) string {
		if v.limited() {
			return "some processes"
		}
		return fmt.Sprintf("%d processes", count)
	}
	lacking := func(text string) {
		b = fmt.Appendf(b, "# lacking %s %s\n", n.name, plaintext.Escape(text))
	}
	if skipped := r.t.Skipped(); skipped > 0 || r.t.Facts().Lacks != 0 {
		lacking(lackingMany(many(skipped), skipped, r.t.Facts().Lacks).Error())
	}
	if l.unread > 0 {
		lacking(many(l.unread) + " could not be read: " + n.reason(l.why))
	}
	if l.unnum > 0 {
		lacking(many(l.unnum) + " have no global pid (see cluster/status)")
	}
	if r.age > 0 {
		b = fmt.Appendf(b, "# stale %s %.1fs\n", n.name, max(r.age, 100*time.Millisecond).Seconds())
	}
	return b
}

// reason is an error of the node as a remark has it: what is wrong with the node, if it is not
// up.
func (n *node) reason(err error) string {
	if h := n.healthNow(); h.state != stateUp {
		if h.err == nil {
			return string(h.state)
		}
		return string(h.state) + ": " + h.err.Error()
	}
	if err == nil {
		return "it has not answered"
	}
	return err.Error()
}
