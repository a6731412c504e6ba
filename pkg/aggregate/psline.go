package aggregate

import (
	"bytes"
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/aggrfs/aggrfs/internal/plaintext"
	"github.com/aggrfs/aggrfs/pkg/aggregate/rewrite"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// A psPen writes lines of cluster/ps.
type psPen struct {
	v         *view
	nameWidth int
	text      []byte            // what was written of the last node
	users     map[uint32]string // by number, as they stand in a line
}

// writeNode writes the lines of one node.
func (w *psPen) writeNode(ctx context.Context, n *node, r roster) {
	w.text = w.text[:0]
	v, t := w.v, r.t
	if t == nil || !v.reaches(n) {
		return
	}
	m := v.c.mapping(n, t.Facts(), v.host)
	stat, cmdline := t.fileIndex("stat"), t.fileIndex("cmdline")
	denied := v.denies("1", "stat") || v.denies("1", "cmdline")
	for i := range t.Len() {
		uid := t.UID(i)
		if !v.sees(uid) || !r.has(i) {
			continue
		}
		pid := t.PID(i)
		g := n.gpid(PID(pid))
		if g == 0 {
			continue
		}
		// What a line shows of stat is shown to all.
		if n.form(t, i, v.who) != unknown && !denied && stat >= 0 && cmdline >= 0 {
			raw, errno := t.File(i, stat)
			args, _ := t.File(i, cmdline)
			if l, ok := rewrite.ParseStat(m, raw); ok && errno == 0 {
				w.addLine(n, pid, g, uid, l, args)
			}
			continue
		}
		p := t.Proc(i)
		proc := newProcess(n, PID(pid), p.ID, uid)
		proc.m = m
		dir := newProcessDir(v, v.id, proc, rowAttr(t, i, 0))
		raw, err := dir.rowOrRead(ctx, t, i, "stat")
		if err != nil {
			continue // it has ended
		}
		args, _ := dir.rowOrRead(ctx, t, i, "cmdline")
		if l, ok := rewrite.ParseStat(nil, raw); ok {
			w.addLine(n, pid, g, uid, l, args)
		}
	}
}

// rowOrRead is a file of row i, from the table or, where that does not say, the node.
func (d *processDir) rowOrRead(ctx context.Context, t *table, i int, name string) ([]byte, error) {
	raw, err := d.rowFile(t, i, name)
	if err == errAsk {
		return vfs.ReadFile(ctx, d, maxRewrite, name)
	}
	return raw, err
}

// addLine makes a line, see psFile. There are very many: it is put together by hand.
func (w *psPen) addLine(n *node, pid int32, g GPID, uid uint32, l rewrite.StatLine, args []byte) {
	host := &w.v.host
	b := appendLeft(w.text, string(n.name), w.nameWidth)
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
	w.text = append(b, '\n')
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
	for _, c := range args {
		switch {
		case c == 0:
			c = ' '
		case c < ' ' || c > '~' || c == '\\':
			text := strings.ReplaceAll(string(args), "\x00", " ")
			return append(b[:start], plaintext.Escape(text)...)
		}
		b = append(b, c)
	}
	return b
}
