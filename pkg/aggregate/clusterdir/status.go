package clusterdir

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/proctable"
	"github.com/aggrfs/aggrfs/pkg/aggregate/remote"
	"github.com/aggrfs/aggrfs/pkg/aggregate/report"
	"github.com/aggrfs/aggrfs/pkg/aggregate/upstream"
	"github.com/aggrfs/aggrfs/pkg/aggregate/view"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// notes are what is wrong with the front end itself, by what it is about.
type notes struct {
	mu  sync.Mutex
	all map[string]report.Part // guarded by mu
}

// Note notes what is wrong with a part of the front end, for cluster/status; nil is
// that nothing is.
func (t *Tables) Note(what string, err error) {
	if err == nil {
		t.note(what, "", "")
		return
	}
	t.note(what, "refused", err.Error())
}

// Warn notes what deserves a look in a part that is in force; nothing is that nothing
// does.
func (t *Tables) Warn(what string, warnings []string) {
	if len(warnings) == 0 {
		t.note(what, "", "")
		return
	}
	first, _, _ := strings.Cut(warnings[0], "\n") // without the line of the file
	text := "in force; " + first
	if more := len(warnings) - 1; more > 0 {
		text = fmt.Sprintf("in force; %s; and %d more warnings in the log", first, more)
	}
	t.note(what, "doubtful", text)
}

// note replaces what is noted of a part; no state is that it is well.
func (t *Tables) note(what, state, text string) {
	t.notes.mu.Lock()
	defer t.notes.mu.Unlock()
	if state == "" {
		delete(t.notes.all, what)
		return
	}
	if t.notes.all == nil {
		t.notes.all = make(map[string]report.Part)
	}
	t.notes.all[what] = report.Part{Name: what, State: state, Since: t.Now(), Detail: text}
}

// statusTable is cluster/status.
func (t *Tables) statusTable() []byte {
	parts := []report.Part{t.NodesPart(), t.notedPart(NoteConfiguration, "in force"), t.notedPart(NotePolicy, t.Store.Policy().Name)}
	if s := t.Access.Source(); s != nil {
		parts = append(parts, report.Part{Name: "allocations", State: report.AllocationsState(s), Since: s.Since, Detail: report.AllocationsText(s, t.Now(), true)})
	}
	gpids := report.Part{Name: "gpids", State: report.OK, Detail: t.Numbers.Mode()}
	if had, err := t.Numbers.Err(); err != nil {
		gpids.State, gpids.Detail = "full", fmt.Sprintf("%v; %d processes had none", err, had)
	}
	return report.EncodeStatus(append(parts, gpids))
}

// NodesPart tells how many nodes are in which state.
func (t *Tables) NodesPart() report.Part {
	states := make(map[upstream.State]int)
	for _, n := range t.Views.Nodes {
		states[n.Health().State]++
	}
	part := report.Part{Name: "nodes", State: report.OK}
	var texts []string
	for _, s := range []upstream.State{upstream.Up, upstream.Silent, upstream.Down, upstream.Connecting} {
		if states[s] > 0 {
			texts = append(texts, fmt.Sprintf("%d %s", states[s], s))
			if s != upstream.Up {
				part.State = "missing"
			}
		}
	}
	part.Detail = strings.Join(texts, ", ")
	return part
}

// notedPart is a part of which something may have been noted; detail says how it is else.
func (t *Tables) notedPart(name, detail string) report.Part {
	t.notes.mu.Lock()
	defer t.notes.mu.Unlock()
	if part, wrong := t.notes.all[name]; wrong {
		return part
	}
	return report.Part{Name: name, State: report.OK, Detail: detail}
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
// file, and what is cached of it for the requester.
func (v viewTables) explanation(ctx context.Context, id uint64, name string) (vfs.Node, error) {
	node, path, ok := strings.Cut(name, "!")
	path = strings.ReplaceAll(path, "!", "/")
	if !ok || node != "" && v.Node(gpid.NodeName(node)) == nil {
		return nil, syscall.ENOENT
	}
	e, err := v.t.Store.Policy().Explain(node, path)
	if err != nil {
		return nil, syscall.ENOENT
	}
	return v.t.Base.File(id, func(ctx context.Context) ([]byte, error) {
		return append(e.Text(path), v.cachedText(gpid.NodeName(node), path)...), nil
	}), nil
}

// cachedText is the lines that say what is cached of a file.
func (v viewTables) cachedText(name gpid.NodeName, path string) []byte {
	var lines strings.Builder
	nodes := v.Nodes()
	if name != "" {
		nodes = []*proctable.Node{v.Node(name)}
	}
	for _, n := range nodes {
		if text := v.cachedOf(n, path); text != "" {
			fmt.Fprintf(&lines, "%-7s on %s: %s\n", "held", n.Name, text)
		}
	}
	if lines.Len() == 0 {
		return []byte("held    nothing for you now\n")
	}
	return []byte(lines.String())
}

// cachedOf says what is cached of a file of one node, "" for nothing.
func (v viewTables) cachedOf(n *proctable.Node, path string) string {
	if n == nil {
		return ""
	}
	names := strings.Split(path, "/")
	var proc *view.Process
	if pid, ok := gpid.Parse(names[0]); ok {
		t := n.Table()
		if t == nil || len(names) < 2 {
			return ""
		}
		row, found := t.Lookup(gpid.PID(pid))
		if !found {
			return ""
		}
		proc = view.Of(n, row)
		if name := strings.Join(names[1:], "/"); t.FileIndex(name) >= 0 {
			content, err := row.File(proctable.Full, name)
			if left := t.Left(n.Now()); left > 0 && err == nil {
				return fmt.Sprintf("%d bytes in the table, good for another %v", len(content), left.Round(time.Millisecond))
			}
			return ""
		}
	}
	key, ok := remote.CacheKey(n, v.View, n.Clock(), proc, names...)
	if !ok {
		return ""
	}
	info, held := v.t.Store.Cached(key)
	switch {
	case !held:
		return ""
	case info.Err != nil:
		return fmt.Sprintf("that it gave the error %q, %v ago, %d hits", info.Err, info.Age.Round(time.Millisecond), info.Hits)
	}
	return fmt.Sprintf("%d bytes, %v old, %d hits", info.Size, info.Age.Round(time.Millisecond), info.Hits)
}
