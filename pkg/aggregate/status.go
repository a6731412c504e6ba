package aggregate

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/aggrfs/aggrfs/internal/plaintext"
	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// notes are what is wrong with the front end itself, by what it is about.
type notes struct {
	mu  sync.Mutex
	all map[string]note // guarded by mu
}

type note struct {
	since time.Time
	state string
	text  string
}

// Note notes what is wrong with a part of the front end, for cluster/status; nil is
// that nothing is.
func (c *Cluster) Note(what string, err error) {
	if err == nil {
		c.note(what, "", "")
		return
	}
	c.note(what, "refused", err.Error())
}

// Warn notes what deserves a look in a part that is in force; nothing is that nothing
// does.
func (c *Cluster) Warn(what string, warnings []string) {
	if len(warnings) == 0 {
		c.note(what, "", "")
		return
	}
	first, _, _ := strings.Cut(warnings[0], "\n") // without the line of the file
	text := "in force; " + first
	if more := len(warnings) - 1; more > 0 {
		text = fmt.Sprintf("in force; %s; and %d more warnings in the log", first, more)
	}
	c.note(what, "doubtful", text)
}

// note replaces what is noted of a part; no state is that it is well.
func (c *Cluster) note(what, state, text string) {
	c.notes.mu.Lock()
	defer c.notes.mu.Unlock()
	if state == "" {
		delete(c.notes.all, what)
		return
	}
	if c.notes.all == nil {
		c.notes.all = make(map[string]note)
	}
	c.notes.all[what] = note{c.cfg.Now(), state, text}
}

// statusTable is cluster/status: a line a part of the front end, whether it is well,
// since when it is not, and what is wrong or how it is.
func (c *Cluster) statusTable() []byte {
	rows := [][]string{{"PART", "STATE", "SINCE", "DETAIL"}}
	add := func(what, detail string) {
		c.notes.mu.Lock()
		n, wrong := c.notes.all[what]
		c.notes.mu.Unlock()
		if wrong {
			rows = append(rows, []string{what, n.state, n.since.UTC().Format(time.RFC3339), n.text})
			return
		}
		rows = append(rows, []string{what, "ok", "-", detail})
	}
	states := make(map[state]int)
	for _, n := range c.nodes {
		states[n.healthNow().state]++
	}
	var nodes []string
	well := "ok"
	for _, s := range []state{stateUp, stateSilent, stateDown, stateConnecting} {
		if states[s] > 0 {
			nodes = append(nodes, fmt.Sprintf("%d %s", states[s], s))
			if s != stateUp {
				well = "missing"
			}
		}
	}
	rows = append(rows, []string{"nodes", well, "-", strings.Join(nodes, ", ")})
	add(NoteConfiguration, "in force")
	add(NotePolicy, c.store.Policy().Name)
	if s := c.access.Source(); s != nil {
		since := "-"
		if !s.Since.IsZero() {
			since = s.Since.UTC().Format(time.RFC3339)
		}
		rows = append(rows, []string{"allocations", sourceState(s), since, sourceText(s, c.cfg.Now(), true)})
	}
	gpids := []string{"gpids", "ok", "-", c.numbers.Mode()}
	if refused, err := c.numbers.Err(); err != nil {
		gpids = []string{"gpids", "full", "-", fmt.Sprintf("%v; %d processes had none", err, refused)}
	}
	rows = append(rows, gpids)
	return plaintext.Table(rows)
}

// What Note may be about.
const (
	NoteConfiguration = "configuration"
	NotePolicy        = "policy"
)

// ExplainName is the name in cluster/explain of a file of a node, by its path relative
// to the node's /proc; "" is any node.
func ExplainName(node, path string) string {
	path = strings.TrimSuffix(strings.TrimPrefix(path, "/proc/"), "/")
	return node + "!" + strings.ReplaceAll(path, "/", "!")
}

// explanation is a file of cluster/explain: which rule of the policy in force is for a
// file, and what is held of it for whoever asks.
func (v *view) explanation(ctx context.Context, id uint64, name string) (vfs.Node, error) {
	node, path, ok := strings.Cut(name, "!")
	path = strings.ReplaceAll(path, "!", "/")
	if !ok || node != "" && v.node(gpid.NodeName(node)) == nil {
		return nil, syscall.ENOENT
	}
	e, err := v.c.store.Policy().Explain(node, path)
	if err != nil {
		return nil, syscall.ENOENT
	}
	return &madeFile{made: v.c.made, id: id, content: func(ctx context.Context) ([]byte, error) {
		return append(e.Text(path), v.heldText(gpid.NodeName(node), path)...), nil
	}}, nil
}

// heldText is the lines that say what is held of a file.
func (v *view) heldText(name gpid.NodeName, path string) []byte {
	var lines strings.Builder
	nodes := v.nodes()
	if name != "" {
		nodes = []*node{v.node(name)}
	}
	for _, n := range nodes {
		if text := v.heldOf(n, path); text != "" {
			fmt.Fprintf(&lines, "%-7s on %s: %s\n", "held", n.name, text)
		}
	}
	if lines.Len() == 0 {
		return []byte("held    nothing for you now\n")
	}
	return []byte(lines.String())
}

// heldOf says what is held of a file of one node, "" for nothing.
func (v *view) heldOf(n *node, path string) string {
	if n == nil {
		return ""
	}
	r := remote{n: n, v: v, path: strings.Split(path, "/")}
	if pid, ok := gpid.Parse(r.path[0]); ok {
		t := n.table.Load()
		if t == nil {
			return ""
		}
		i, found := t.Find(int32(pid))
		if !found || len(r.path) < 2 {
			return ""
		}
		p := t.Proc(i)
		r.proc = newProcess(n, gpid.PID(pid), p.ID, p.UID)
		if k := t.fileIndex(strings.Join(r.path[1:], "/")); k >= 0 {
			content, errno := t.File(i, k)
			if left := t.keep(n.now()); left > 0 && errno == 0 {
				return fmt.Sprintf("%d bytes in the table, good for another %v", len(content), left.Round(time.Millisecond))
			}
			return ""
		}
	}
	key, ok := r.kept()
	if !ok {
		return ""
	}
	info, held := v.c.store.Held(key)
	switch {
	case !held:
		return ""
	case info.Err != nil:
		return fmt.Sprintf("that it gave the error %q, %v ago, %d hits", info.Err, info.Age.Round(time.Millisecond), info.Hits)
	}
	return fmt.Sprintf("%d bytes, %v old, %d hits", info.Size, info.Age.Round(time.Millisecond), info.Hits)
}
