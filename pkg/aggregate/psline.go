package aggregate

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
	"github.com/aggrfs/aggrfs/pkg/aggregate/rewrite"
	"github.com/aggrfs/aggrfs/pkg/cachepolicy"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// A psPen writes lines of cluster/ps.
type psPen struct {
	v         *view
	only      *uint32 // only this user's processes; nil is all of the view's
	nameWidth int
	text      []byte            // what was written of the last node
	lines     []byte            // where linesOf makes them
	users     map[uint32]string // by number, as they stand in a line
}

// nodeText is the lines of one node, until the pen writes those of another, and what they
// lack.
func (w *psPen) nodeText(ctx context.Context, n *node, r roster) (text []byte, l lack) {
	v, t := w.v, r.t
	if t == nil || !v.reaches(n) {
		return nil, lack{}
	}
	m := v.c.mapping(n, t.Facts(), v.host)
	lines := w.linesOf(n, t, m)
	mine, all, denies := n.reads(v.who), !v.limited() && w.only == nil, v.reach().scope.DeniesSome()
	if lines != nil && mine && all && !denies && r.live == nil {
		return lines.text, lines.lack
	}
	w.text = w.text[:0]
	for i := range t.Len() {
		switch {
		case !r.has(i) || !all && !v.sees(t.UID(i)) || w.only != nil && *w.only != t.UID(i):
		case n.gpid(gpid.PID(t.PID(i))) == 0:
			l.unnum++
		case lines != nil && (mine || n.form(t, i, v.who) != unknown) && !(denies && v.deniesLine(t.PID(i))):
			// What a line shows of stat is shown to all who see the process, but for
			// its parent.
			at, line := len(w.text), lines.line(i)
			w.text = append(w.text, line...)
			switch {
			case len(line) == 0:
				l.note(n, t, i, t.fileIndex("stat"))
			case !all:
				w.hideParent(w.text[at:], n, t)
			}
		default:
			var err error
			if w.text, err = w.askLine(ctx, w.text, n, t, i, m); err != nil {
				l.unread++
				l.why = cmp.Or(l.why, err)
			}
		}
	}
	return w.text, l
}

// deniesLine tells whether a file that a process's line is made of does not exist.
func (v *view) deniesLine(pid int32) bool {
	name := strconv.Itoa(int(pid))
	return v.denies(name, "stat") || v.denies(name, "cmdline")
}

// tableLine appends the line of row i as it stands in the table.
func (w *psPen) tableLine(b []byte, n *node, t *table, i, stat, cmdline int, m *rewrite.Map) []byte {
	pid := t.PID(i)
	g := n.gpid(gpid.PID(pid))
	raw, errno := t.File(i, stat)
	if g == 0 || errno != 0 {
		return b
	}
	l, ok := rewrite.ParseStat(m, raw)
	if !ok {
		return b
	}
	args, _ := t.File(i, cmdline)
	return w.appendLine(b, n, pid, g, t.UID(i), l, args)
}

// askLine appends the line of row i as the node shows it to the viewer. One that has ended, or
// is hidden from them, has none; any other error is that the line is lacking.
func (w *psPen) askLine(ctx context.Context, b []byte, n *node, t *table, i int, m *rewrite.Map) ([]byte, error) {
	p := t.Proc(i)
	g := n.gpid(gpid.PID(p.PID))
	proc := newProcess(n, gpid.PID(p.PID), p.ID, p.UID)
	proc.m = m
	dir := newProcessDir(w.v, w.v.id, proc, rowAttr(t, i, 0))
	raw, err := dir.rowOrRead(ctx, t, i, "stat")
	if err != nil {
		return b, notGone(err)
	}
	l, ok := rewrite.ParseStat(nil, raw)
	if !ok {
		return b, fmt.Errorf("its stat makes no sense: %w", syscall.EIO)
	}
	args, err := dir.rowOrRead(ctx, t, i, "cmdline")
	if cachepolicy.Unanswered(err) {
		return b, err
	}
	return w.appendLine(b, n, p.PID, g, p.UID, l, args), nil
}

// notGone is err unless it says that a process has ended, or does not exist for who reads it.
func notGone(err error) error {
	switch vfs.Errno(err) {
	case syscall.ENOENT, syscall.ESRCH:
		return nil
	}
	return err
}

// rowOrRead is a file of row i, from the table or, where that does not say, the node.
func (d *processDir) rowOrRead(ctx context.Context, t *table, i int, name string) ([]byte, error) {
	raw, err := d.rowFile(t, i, name)
	if err == errAsk {
		return vfs.ReadFile(ctx, d, maxRewrite, name)
	}
	return raw, err
}

// appendLine appends a line, see psFile. There are very many: it is put together by
// hand.
func (w *psPen) appendLine(b []byte, n *node, pid int32, g gpid.GPID, uid uint32, l rewrite.StatLine, args []byte) []byte {
	host := &w.v.host
	b = appendLeft(b, string(n.name), w.nameWidth)
	b = appendRight(append(b, ' '), int64(pid), 7)
	b = appendRight(append(b, ' '), int64(g), 10)
	b = appendRight(append(b, ' '), l.PPID, 10)
	b = appendLeft(append(b, ' '), w.user(uid), 8)
	b = append(b, ' ', l.State, ' ')
	b = appendRight(b, l.CPU/host.hz, 7)
	hundredths := l.CPU % host.hz * 100 / host.hz
	b = append(b, '.', byte('0'+hundredths/10), byte('0'+hundredths%10))
	b = appendRight(append(b, ' '), l.RSS*(host.pageSize>>10), 10)
	start := host.boot.Add(time.Duration(l.Start/host.hz)*time.Second + time.Duration(l.Start%host.hz)*time.Second/time.Duration(host.hz))
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
		name = strings.ReplaceAll(plaintext.Escape(w.v.c.users.UserName(uid)), " ", `\040`)
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
