package clusterdir

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/aggrfs/aggrfs/internal/procfile"
	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/proctable"
	"github.com/aggrfs/aggrfs/pkg/aggregate/remarks"
	"github.com/aggrfs/aggrfs/pkg/aggregate/remote"
	"github.com/aggrfs/aggrfs/pkg/aggregate/report"
	"github.com/aggrfs/aggrfs/pkg/aggregate/view"
	"github.com/aggrfs/aggrfs/pkg/cachepolicy"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// A psPen writes lines of cluster/ps.
type psPen struct {
	v         viewTables
	only      *uint32 // only this user's processes; nil is all of the view's
	nameWidth int
	text      []byte            // what was written of the last node
	lines     []byte            // where linesOf makes them
	name      []byte            // the command of a process without arguments
	users     map[uint32]string // by number
}

// nodeText is the lines of one node, until the pen writes those of another, and what they
// lack.
func (w *psPen) nodeText(ctx context.Context, n *proctable.Node, r proctable.Roster) (text []byte, l remarks.Lack) {
	v, t := w.v, r.Table
	if t == nil || !v.Reaches(n) {
		return nil, remarks.Lack{}
	}
	m := t.Clock.Map(v.Host)
	lines := w.linesOf(n, t, m)
	mine, all, denies := n.Reads(v.Who), !v.Limited() && w.only == nil, v.Scope().DeniesSome()
	if lines != nil && len(lines.long) == 0 && mine && all && !denies && r.Live == nil {
		return lines.text, lines.lack
	}
	w.text = w.text[:0]
	asked := 0
	for row := range r.Rows {
		uid := row.UID()
		long := lines != nil && slices.Contains(lines.long, row.I)
		switch {
		case !all && !v.Sees(uid) || w.only != nil && *w.only != uid:
		case n.GPIDFor(v.Host, row.PID()) == 0:
			l.Unnum++
		case lines != nil && !long && (mine || n.Visibility(row, v.Who) != proctable.None) && !(denies && deniesLine(v, row.PID())):
			// What a line shows of stat is shown to all who see the process, but for
			// its parent.
			at, line := len(w.text), lines.line(row.I)
			w.text = append(w.text, line...)
			switch {
			case len(line) == 0:
				l.Note(n, row, t.FileIndex("stat"))
			case !all:
				w.hideParent(w.text[at:], n, t)
			}
		default:
			err := error(syscall.EFBIG)
			if asked++; !long || asked <= maxAsked {
				w.text, err = w.askLine(ctx, w.text, n, row, m)
			}
			if long && err != nil && n.Visibility(row, v.Who) == proctable.Full { // then without its arguments
				at := len(w.text)
				if w.text = w.tableLine(w.text, n, row, t.FileIndex("stat"), t.FileIndex("cmdline"), m); len(w.text) > at {
					err = nil
				}
			}
			if err != nil {
				l.Unread++
				l.Why = cmp.Or(l.Why, err)
			}
		}
	}
	return w.text, l
}

const (
	// maxAsked is of how many processes of a node whose command line is longer than a sweep brings the
	// node is asked for it, for one look at cluster/ps.
	maxAsked = 256
	// maxArgs bounds a command line, in bytes: three quarters of the stack that a program is given at
	// first, the most that Linux takes, see execve(2).
	maxArgs = 6 << 20
)

// deniesLine reports whether a file that a process's line is made of does not exist.
func deniesLine(v viewTables, pid gpid.PID) bool {
	name := strconv.Itoa(int(pid))
	return v.Denies(name, "stat") || v.Denies(name, "cmdline")
}

// tableLine appends the line of a row as it stands in the table.
func (w *psPen) tableLine(b []byte, n *proctable.Node, row proctable.Row, stat, cmdline int, m *procfile.Map) []byte {
	g := n.GPIDFor(w.v.Host, row.PID())
	raw, errno := row.Table.File(row.I, stat)
	if g == 0 || errno != 0 {
		return b
	}
	l, ok := procfile.ParseStat(m, raw)
	if !ok {
		return b
	}
	args, _ := row.Table.File(row.I, cmdline)
	return w.appendLine(b, n, row.PID(), g, row.UID(), l, args)
}

// askLine appends the line of a row as the node shows it to the viewer. One that has ended, or
// is hidden from them, has none; any other error is that the line is lacking.
func (w *psPen) askLine(ctx context.Context, b []byte, n *proctable.Node, row proctable.Row, m *procfile.Map) ([]byte, error) {
	proc := view.Of(n, row)
	proc.Map = m
	dir := remote.NewProcessDir(w.v.View, w.v.ID, proc, row.Attr(0))
	raw, err := dir.Content(ctx, row, "stat")
	if err != nil {
		return b, notGone(err)
	}
	l, ok := procfile.ParseStat(nil, raw)
	if !ok {
		return b, fmt.Errorf("its stat makes no sense: %w", syscall.EIO)
	}
	l.TTY = n.Terminals.Native(l.TTY)
	args, err := dir.Content(ctx, row, "cmdline")
	if cachepolicy.Unanswered(err) {
		return b, err
	}
	return w.appendLine(b, n, proc.PID, n.GPIDFor(w.v.Host, proc.PID), proc.UID, l, args), nil
}

// notGone is err unless it says that a process has ended, or does not exist for who reads it.
func notGone(err error) error {
	switch vfs.Errno(err) {
	case syscall.ENOENT, syscall.ESRCH:
		return nil
	}
	return err
}

// appendLine appends a line of cluster/ps.
func (w *psPen) appendLine(b []byte, n *proctable.Node, pid gpid.PID, g gpid.GPID, uid uint32, l procfile.Stat, args []byte) []byte {
	host := &w.v.Host
	if args = bytes.TrimRight(args, "\x00"); len(args) > 0 {
		args = args[:min(len(args), maxArgs)]
	} else {
		w.name = append(append(append(w.name[:0], '['), l.Name...), ']')
		args = w.name
	}
	row := report.Process{
		Node: string(n.Name), PID: pid, GPID: g, PPID: l.PPID, User: w.user(uid), State: l.State,
		CPU:     report.Centiseconds(l.CPU/host.Hz*100 + l.CPU%host.Hz*100/host.Hz),
		RSS:     l.RSS * (host.PageSize >> 10),
		Start:   host.Boot.Add(time.Duration(l.Start/host.Hz)*time.Second + time.Duration(l.Start%host.Hz)*time.Second/time.Duration(host.Hz)),
		TTY:     procfile.TTYName(l.TTY),
		Command: args,
	}
	return row.AppendText(b, w.nameWidth)
}

// user is the name of a user, or the number.
func (w *psPen) user(uid uint32) string {
	name, ok := w.users[uid]
	if !ok {
		name = w.v.t.Users.UserName(uid)
		w.users[uid] = name
	}
	return name
}

// hideParent makes the parent in a line of cluster/ps 0 where it does not exist for the
// viewer. The line is one that all share, in a copy.
func (w *psPen) hideParent(line []byte, n *proctable.Node, t *proctable.Table) {
	report.HideParent(line, w.nameWidth, func(g gpid.GPID) bool {
		index, pid, ok := w.v.t.Numbers.Split(gpid.Home(g))
		if !ok || index != n.Index {
			return false
		}
		r, ok := t.Lookup(pid)
		return ok && w.v.Sees(r.UID())
	})
}
