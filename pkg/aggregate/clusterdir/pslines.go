package clusterdir

import (
	"bytes"
	"maps"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/aggrfs/aggrfs/internal/procfile"
	"github.com/aggrfs/aggrfs/pkg/aggregate/proctable"
	"github.com/aggrfs/aggrfs/pkg/aggregate/remarks"
	"github.com/aggrfs/aggrfs/pkg/aggregate/upstream"
)

// nodeLines are the lines of cluster/ps of all processes in one table of a node. They
// are cached for the next table, of which most have not changed. They never change
// themselves.
type nodeLines struct {
	// The lines are as these make them.
	m         *procfile.Map
	nameWidth int
	users     map[uint32]string

	by         *upstream.Session // that the table came by
	generation uint64            // of the table
	pids       []int32
	ends       []uint32 // of each line in text; it starts where the one before ends
	text       []byte
	lack       remarks.Lack // which have none
	long       []int        // rows whose command line is longer than a sweep brings, which have none here

	used atomic.Int64 // when they were asked for last, ns since 1970
}

// linesFor is how long lines are cached that nobody asks for.
const linesFor = time.Minute

func (l *nodeLines) line(i int) []byte {
	start := uint32(0)
	if i > 0 {
		start = l.ends[i-1]
	}
	return l.text[start:l.ends[i]]
}

// linesOf makes the lines of a table, nil where it has not what they are made of.
func (w *psPen) linesOf(n *proctable.Node, t *proctable.Table, m *procfile.Map) *nodeLines {
	stat, cmdline := t.FileIndex("stat"), t.FileIndex("cmdline")
	if stat < 0 || cmdline < 0 {
		return nil
	}
	now := n.Now().UnixNano()
	old := w.v.t.lines[n].Load()
	if old != nil && !w.goesOn(old, t, m) {
		old = nil
	}
	if old != nil && old.generation == t.Generation() {
		old.used.Store(now)
		return old
	}
	l := &nodeLines{
		m: m, nameWidth: w.nameWidth, by: t.Session(), generation: t.Generation(),
		pids: t.PIDs(), ends: make([]uint32, t.Len()),
	}
	text := w.lines[:0]
	if old != nil {
		text, l.users = make([]byte, 0, len(old.text)+len(old.text)/32), old.users
	}
	at := 0 // in old
	for i, pid := range l.pids {
		before := len(text)
		for old != nil && at < len(old.pids) && old.pids[at] < pid {
			at++
		}
		if old != nil && at < len(old.pids) && old.pids[at] == pid && !t.Changed(i, old.generation) {
			text = append(text, old.line(at)...)
		} else {
			l.note(t.UID(i), w)
			if !isLong(t.Row(i), cmdline) {
				text = w.tableLine(text, n, t.Row(i), stat, cmdline, m)
			}
		}
		switch {
		case len(text) > before:
		case isLong(t.Row(i), cmdline):
			l.long = append(l.long, i)
		default:
			l.lack.Note(n, t.Row(i), stat)
		}
		l.ends[i] = uint32(len(text))
	}
	if l.text = text; old == nil || len(text) < cap(text)-cap(text)/16 {
		w.lines, l.text = text, bytes.Clone(text)
	}
	l.used.Store(now)
	if t.Generation() != 0 {
		w.v.t.lines[n].Store(l)
	}
	return l
}

// isLong reports whether a row's command line is longer than a sweep brings.
func isLong(r proctable.Row, cmdline int) bool {
	_, errno := r.Table.File(r.I, cmdline)
	return errno == syscall.EFBIG
}

// note notes a user who has a line. The users may be those of other lines, too.
func (l *nodeLines) note(uid uint32, w *psPen) {
	if _, ok := l.users[uid]; !ok {
		users := make(map[uint32]string, len(l.users)+1)
		maps.Copy(users, l.users)
		users[uid] = w.user(uid)
		l.users = users
	}
}

// goesOn reports whether lines of a table before are those of t where that has not
// changed.
func (w *psPen) goesOn(old *nodeLines, t *proctable.Table, m *procfile.Map) bool {
	if old.m != m || old.nameWidth != w.nameWidth || old.by != t.Session() || !t.Since(old.generation) {
		return false
	}
	for uid, name := range old.users {
		if w.user(uid) != name {
			return false
		}
	}
	return true
}

// dropLines drops lines that nobody has asked for lately.
func dropLines(lines *atomic.Pointer[nodeLines], now time.Time) {
	if l := lines.Load(); l != nil && now.UnixNano()-l.used.Load() > int64(linesFor) {
		lines.CompareAndSwap(l, nil)
	}
}
