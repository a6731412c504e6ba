package tree

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/aggrfs/aggrfs/internal/plaintext"
	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/proctable"
	"github.com/aggrfs/aggrfs/pkg/aggregate/remote"
	"github.com/aggrfs/aggrfs/pkg/aggregate/rewrite"
	"github.com/aggrfs/aggrfs/pkg/aggregate/view"
	"github.com/aggrfs/aggrfs/pkg/cachepolicy"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// A psPen writes lines of cluster/ps.
type psPen struct {
	v         viewTree
	only      *uint32 // only this user's processes; nil is all of the view's
	nameWidth int
	text      []byte            // what was written of the last node
	lines     []byte            // where linesOf makes them
	users     map[uint32]string // by number, as they stand in a line
}

// nodeText is the lines of one node, until the pen writes those of another, and what they
// lack.
func (w *psPen) nodeText(ctx context.Context, n *proctable.Node, r proctable.Roster) (text []byte, l lack) {
	v, t := w.v, r.Table
	if t == nil || !v.Reaches(n) {
		return nil, lack{}
	}
	m := t.Clock.Map(v.Host)
	lines := w.linesOf(n, t, m)
	mine, all, denies := n.Reads(v.Who), !v.Limited() && w.only == nil, v.Scope().DeniesSome()
	if lines != nil && mine && all && !denies && r.Live == nil {
		return lines.text, lines.lack
	}
	w.text = w.text[:0]
	for row := range r.Rows {
		uid := row.UID()
		switch {
		case !all && !v.Sees(uid) || w.only != nil && *w.only != uid:
		case n.GPID(row.PID()) == 0:
			l.unnum++
		case lines != nil && (mine || n.Visibility(row, v.Who) != proctable.None) && !(denies && v.deniesLine(row.PID())):
			// What a line shows of stat is shown to all who see the process, but for
			// its parent.
			at, line := len(w.text), lines.line(row.I)
			w.text = append(w.text, line...)
			switch {
			case len(line) == 0:
				l.note(n, row, t.FileIndex("stat"))
			case !all:
				w.hideParent(w.text[at:], n, t)
			}
		default:
			var err error
			if w.text, err = w.askLine(ctx, w.text, n, row, m); err != nil {
				l.unread++
				l.why = cmp.Or(l.why, err)
			}
		}
	}
	return w.text, l
}

// deniesLine reports whether a file that a process's line is made of does not exist.
func (v viewTree) deniesLine(pid gpid.PID) bool {
	name := strconv.Itoa(int(pid))
	return v.Denies(name, "stat") || v.Denies(name, "cmdline")
}

// tableLine appends the line of a row as it stands in the table.
func (w *psPen) tableLine(b []byte, n *proctable.Node, row proctable.Row, stat, cmdline int, m *rewrite.Map) []byte {
	g := n.GPID(row.PID())
	raw, errno := row.Table.File(row.I, stat)
	if g == 0 || errno != 0 {
		return b
	}
	l, ok := rewrite.ParseStat(m, raw)
	if !ok {
		return b
	}
	args, _ := row.Table.File(row.I, cmdline)
	return w.appendLine(b, n, row.PID(), g, row.UID(), l, args)
}

// askLine appends the line of a row as the node shows it to the viewer. One that has ended, or
// is hidden from them, has none; any other error is that the line is lacking.
func (w *psPen) askLine(ctx context.Context, b []byte, n *proctable.Node, row proctable.Row, m *rewrite.Map) ([]byte, error) {
	proc := view.Of(n, row)
	proc.Map = m
	dir := remote.NewProcessDir(w.v.View, w.v.ID, proc, row.Attr(0))
	raw, err := dir.Content(ctx, row, "stat")
	if err != nil {
		return b, notGone(err)
	}
	l, ok := rewrite.ParseStat(nil, raw)
	if !ok {
		return b, fmt.Errorf("its stat makes no sense: %w", syscall.EIO)
	}
	args, err := dir.Content(ctx, row, "cmdline")
	if cachepolicy.Unanswered(err) {
		return b, err
	}
	return w.appendLine(b, n, proc.PID, n.GPID(proc.PID), proc.UID, l, args), nil
}

// notGone is err unless it says that a process has ended, or does not exist for who reads it.
func notGone(err error) error {
	switch vfs.Errno(err) {
	case syscall.ENOENT, syscall.ESRCH:
		return nil
	}
	return err
}

// appendLine appends a line, see psFile. There are very many: it is put together by
// hand.
func (w *psPen) appendLine(b []byte, n *proctable.Node, pid gpid.PID, g gpid.GPID, uid uint32, l rewrite.StatLine, args []byte) []byte {
	host := &w.v.Host
	b = appendLeft(b, string(n.Name), w.nameWidth)
	b = appendRight(append(b, ' '), int64(pid), 7)
	b = appendRight(append(b, ' '), int64(g), 10)
	b = appendRight(append(b, ' '), l.PPID, 10)
	b = appendLeft(append(b, ' '), w.user(uid), 8)
	b = append(b, ' ', l.State, ' ')
	b = appendRight(b, l.CPU/host.Hz, 7)
	hundredths := l.CPU % host.Hz * 100 / host.Hz
	b = append(b, '.', byte('0'+hundredths/10), byte('0'+hundredths%10))
	b = appendRight(append(b, ' '), l.RSS*(host.PageSize>>10), 10)
	start := host.Boot.Add(time.Duration(l.Start/host.Hz)*time.Second + time.Duration(l.Start%host.Hz)*time.Second/time.Duration(host.Hz))
	b = start.UTC().AppendFormat(append(b, ' '), time.RFC3339)
	b = append(b, ' ')
	if args = bytes.TrimRight(args, "\x00"); len(args) > 0 {
		b = appendCommand(b, args[:min(len(args), maxCommand)])
	} else {
		b = append(appendCommand(append(b, '['), l.Name), ']')
	}
	return append(b, '\n')
}

// user is the name of a user as it stands in a line.
func (w *psPen) user(uid uint32) string {
	name, ok := w.users[uid]
	if !ok {
		name = strings.ReplaceAll(plaintext.Escape(w.v.t.Users.UserName(uid)), " ", `\040`)
		w.users[uid] = name
	}
	return name
}

// appendLeft appends s and blanks, to that width.
func appendLeft(b []byte, s string, width int) []byte {
	b = append(b, s...)
	for range width - len(s) {
		b = append(b, ' ')
	}
	return b
}

// appendRight appends n behind blanks, to that width.
func appendRight(b []byte, n int64, width int) []byte {
	var digits [20]byte
	text := strconv.AppendInt(digits[:0], n, 10)
	for range width - len(text) {
		b = append(b, ' ')
	}
	return append(b, text...)
}

// appendCommand appends arguments with blanks between them, escaped as plaintext has
// it.
func appendCommand(b, args []byte) []byte {
	start := len(b)
	b = append(b, args...)
	for i, c := range b[start:] {
		if plainByte[c] {
			continue
		}
		if c != 0 {
			text := strings.ReplaceAll(string(args), "\x00", " ")
			return append(b[:start], plaintext.Escape(text)...)
		}
		b[start+i] = ' '
	}
	return b
}

// plainByte are the characters that are not escaped.
var plainByte = func() (plain [256]bool) {
	for c := ' '; c <= '~'; c++ {
		plain[c] = c != '\\'
	}
	return plain
}()

// hideParent makes the parent in a line of cluster/ps 0 where it does not exist for the
// viewer. The line is one that all share, in a copy.
func (w *psPen) hideParent(line []byte, n *proctable.Node, t *proctable.Table) {
	const pidWidth, gpidWidth = 7, 10
	at := w.nameWidth + 1 + pidWidth + 1 + gpidWidth + 1
	if len(line) < at+gpidWidth {
		return
	}
	field := line[at : at+gpidWidth]
	g, err := strconv.ParseInt(string(bytes.TrimLeft(field, " ")), 10, 64)
	if err != nil || g <= 0 {
		return
	}
	if index, pid, ok := w.v.t.Numbers.Split(gpid.GPID(g)); ok && index == n.Index {
		if r, ok := t.Lookup(pid); ok && w.v.Sees(r.UID()) {
			return
		}
	}
	for i := range field {
		field[i] = ' '
	}
	field[gpidWidth-1] = '0'
}
