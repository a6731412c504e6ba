package aggregate

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/aggrfs/aggrfs/internal/plaintext"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// psFile is cluster/ps: every process of the view in one read, a line each, by node and
// pid.
//
//	NODE     the node's name
//	PID      as its node's kernel knows it
//	GPID     in the merged tree
//	PPID     the parent's gpid
//	USER     the owner's name, or number
//	S        state, as in the third field of stat in proc(5)
//	CPU      user and system time in seconds
//	RSS      resident memory in KiB
//	START    when it began, UTC, as RFC 3339 has it
//	COMMAND  its arguments, or its name in brackets where it has none
//
// It is made while it is read, from the tables that there are when it is opened, so that
// no more than a node's part is in memory at once; columns are as wide as most need.
type psFile struct {
	made
	v  *view
	id uint64
}

// ID implements vfs.Node.
func (f *psFile) ID() uint64 { return f.id }

// Type implements vfs.Node.
func (f *psFile) Type() vfs.Type { return vfs.TypeFile }

// Attr implements vfs.Node.
func (f *psFile) Attr(context.Context) (vfs.Attr, error) {
	a := f.attr(f.id, vfs.TypeFile)
	a.Keep, a.KeepName = 0, a.Keep
	return a, nil
}

// Open implements vfs.File. It sweeps the nodes of the view.
func (f *psFile) Open(ctx context.Context) (vfs.Handle, error) {
	v := f.v
	h := &psHandle{v: v, nodes: v.nodes(), turn: make(chan struct{}, 1)}
	h.rosters = eachNode(ctx, v.c, h.nodes, func(ctx context.Context, n *node) roster { return n.roster(ctx, v.who) })
	for _, n := range h.nodes {
		h.nameWidth = max(h.nameWidth, len(n.name), len("NODE"))
	}
	h.rewind()
	h.turn <- struct{}{}
	return h, nil
}

// psHandle is an open cluster/ps. It reads on quickly and goes back by beginning anew.
type psHandle struct {
	v         *view
	nodes     []*node
	rosters   []roster
	nameWidth int

	turn  chan struct{} // holds a token: the lock on what follows
	start int64         // the offset of text
	text  []byte        // lines that were made and not passed yet
	node  int           // whose lines come next
}

func (h *psHandle) rewind() {
	h.start, h.node = 0, 0
	h.text = fmt.Appendf(h.text[:0], "%-*s %7s %10s %10s %-8s S %10s %10s %-20s %s\n", h.nameWidth, "NODE", "PID", "GPID", "PPID", "USER", "CPU", "RSS", "START", "COMMAND")
}

// ReadAt implements vfs.Handle.
func (h *psHandle) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	select {
	case <-h.turn:
		defer func() { h.turn <- struct{}{} }()
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	if off < h.start {
		h.rewind()
	}
	for h.start+int64(len(h.text)) < off+int64(len(p)) && h.node < len(h.nodes) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		if passed := min(off-h.start, int64(len(h.text))); passed > 0 {
			h.text = h.text[:copy(h.text, h.text[passed:])]
			h.start += passed
		}
		h.addNode(ctx, h.nodes[h.node], h.rosters[h.node])
		h.node++
	}
	if off >= h.start+int64(len(h.text)) {
		return 0, nil
	}
	return copy(p, h.text[off-h.start:]), nil
}

// Close implements vfs.Handle.
func (h *psHandle) Close() error { return nil }

// addNode makes the lines of one node.
func (h *psHandle) addNode(ctx context.Context, n *node, r roster) {
	if r.t == nil || !h.v.reaches(n) {
		return
	}
	m := h.v.c.mapping(n, r.t.Facts(), h.v.host)
	for i := range r.t.Len() {
		p := r.t.Proc(i)
		if !h.v.sees(p.UID) || !r.has(i) {
			continue
		}
		g := n.gpid(PID(p.PID))
		if g == 0 {
			continue
		}
		proc := newProcess(n, PID(p.PID), p.ID, p.UID)
		proc.m = m
		dir := newProcessDir(h.v, h.v.id, proc, rowAttr(r.t, i, 0))
		raw, err := dir.rowOrRead(ctx, r.t, i, "stat")
		if err != nil {
			continue // it has ended
		}
		st, ok := parseStat(raw)
		if !ok {
			continue
		}
		args, _ := dir.rowOrRead(ctx, r.t, i, "cmdline")
		h.addLine(n, p.PID, g, p.UID, st, args)
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

func (h *psHandle) addLine(n *node, pid int32, g GPID, uid uint32, st statLine, args []byte) {
	host := h.v.host
	hz := uint64(host.hz)
	start := host.boot.Add(time.Duration(st.start/hz)*time.Second + time.Duration(st.start%hz)*time.Second/time.Duration(hz))
	command := "[" + st.name + "]"
	if text := bytes.TrimRight(args, "\x00"); len(text) > 0 {
		command = strings.ReplaceAll(string(text[:min(len(text), maxCommand)]), "\x00", " ")
	}
	h.text = fmt.Appendf(h.text, "%-*s %7d %10d %10d %-8s %c %10.2f %10d %-20s %s\n",
		h.nameWidth, n.name, pid, g, st.ppid, strings.ReplaceAll(plaintext.Escape(h.v.c.users.UserName(uid)), " ", `\040`), st.state,
		float64(st.cpu)/float64(hz), max(st.rss, 0)*(host.pageSize>>10), start.UTC().Format(time.RFC3339), plaintext.Escape(command))
}

// A statLine is what of a stat file a line is made of.
type statLine struct {
	name  string
	state byte
	ppid  int64
	cpu   uint64 // ticks
	start uint64 // ticks since the boot
	rss   int64  // pages
}

// parseStat reads a stat file, see proc(5).
func parseStat(raw []byte) (st statLine, ok bool) {
	open, end := bytes.IndexByte(raw, '('), bytes.LastIndexByte(raw, ')')
	if open < 0 || end < open || end+3 >= len(raw) {
		return st, false
	}
	st.name = string(raw[open+1 : end])
	rest := raw[end+2:]
	for field := 3; field <= 24; field++ {
		var text []byte
		if text, rest, ok = bytes.Cut(rest, []byte(" ")); !ok && field < 24 {
			return st, false
		}
		switch field {
		case 3:
			if len(text) != 1 || text[0] < 'A' || text[0] > 'z' {
				return st, false
			}
			st.state = text[0]
		case 4:
			st.ppid, _ = strconv.ParseInt(string(text), 10, 64)
			if st.ppid < 0 || st.ppid > maxGPID {
				st.ppid = 0
			}
		case 14, 15:
			n, _ := strconv.ParseUint(string(text), 10, 63)
			st.cpu += n
		case 22:
			st.start, _ = strconv.ParseUint(string(text), 10, 63)
			st.start = min(st.start, maxTicks)
		case 24:
			st.rss, _ = strconv.ParseInt(string(text), 10, 64)
			st.rss = min(st.rss, 1<<42)
		}
	}
	return st, true
}

// maxTicks bounds a start time, so that it stays within a time.Duration.
const maxTicks = 1 << 32
