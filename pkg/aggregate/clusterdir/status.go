package clusterdir

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/aggrfs/aggrfs/pkg/aggregate/proctable"
	"github.com/aggrfs/aggrfs/pkg/aggregate/report"
	"github.com/aggrfs/aggrfs/pkg/aggregate/upstream"
	"github.com/aggrfs/aggrfs/pkg/aggregate/view"
	"github.com/aggrfs/aggrfs/pkg/nodeset"
)

// A status is cluster/status of one view: how the front end is, of which nobody is asked. Who
// does not see everything is told of their nodes, their mounts and their allocations.
type status struct {
	*view.View
	t   *Tables
	now time.Time
}

// statusOf is that of a view now.
func statusOf(v viewTables) status { return status{v.View, v.t, v.t.Now()} }

// text is cluster/status.
func (s status) text() []byte { return report.EncodeStatus(s.parts()) }

// json is cluster/status.json, which names each node that is not up.
func (s status) json() ([]byte, error) {
	table := report.Table[report.Part]{Answer: report.Answer{At: s.now, NoNodes: len(s.Nodes()) == 0}, Rows: s.parts()}
	for _, n := range s.Nodes() {
		if h := n.Health(); h.State != upstream.Up {
			row := report.Node{Name: string(n.Name), State: string(h.State), Problem: problem(n), Missed: new(n.Missed()), Stale: report.Age(n.StaleSince(s.now))}
			if row.Stale != 0 {
				row.Procs = new(uint64)
			}
			if r, lacks := row.Remark(); lacks {
				table.Remarks = append(table.Remarks, r)
			}
		}
	}
	return table.JSON()
}

func (s status) parts() []report.Part {
	everything := s.SeesAll()
	parts := []report.Part{s.server(), nodesPart(s.Nodes())}
	parts = append(parts, problems(s.Nodes())...)
	parts = append(parts, s.versions(), s.data())
	if everything {
		parts = append(parts, s.sweeps(), s.cache(),
			s.t.noted(report.Part{Name: NoteConfiguration, State: report.OK, Detail: "in force"}),
			s.t.noted(report.Part{Name: NotePolicy, State: report.OK, Detail: s.t.Store.Policy().Name}), s.gpids())
	}
	if a := s.t.Access.Source(); a != nil && (everything || s.Scope().Allocated()) {
		parts = append(parts, report.Part{Name: "allocations", State: report.AllocationsState(a), Since: a.Since, Detail: report.AllocationsText(a, s.now, everything)})
	}
	return append(parts, s.t.others(s.Who, everything)...)
}

// server is the program itself.
func (s status) server() report.Part {
	since := s.t.Base.Since
	return report.Part{Name: "server", State: report.OK, Since: since, Detail: fmt.Sprintf("version %s, up for %s", cmp.Or(s.t.Version, "unknown"), report.Span(s.now.Sub(since)))}
}

// gpids are the numbers of processes.
func (s status) gpids() report.Part {
	if had, err := s.t.Numbers.Err(); err != nil {
		return report.Part{Name: "gpids", State: "full", Detail: fmt.Sprintf("%v; %d processes had none", err, had)}
	}
	return report.Part{Name: "gpids", State: report.OK, Detail: s.t.Numbers.Mode()}
}

// versions is which nodes run which release.
func (s status) versions() report.Part {
	by := make(map[string][]string)
	for _, n := range s.Nodes() {
		if t := n.Table(); t != nil {
			by[t.Facts().Version] = append(by[t.Facts().Version], string(n.Name))
		}
	}
	var texts []string
	for _, version := range slices.Sorted(maps.Keys(by)) {
		texts = append(texts, fmt.Sprintf("%s on %s", cmp.Or(version, "unknown"), nodeset.Of(by[version]...)))
	}
	return report.Part{Name: "versions", State: report.OK, Detail: cmp.Or(strings.Join(few(texts, "versions"), ", "), "no node has told its own")}
}

// data is how old the rows are of who has not answered and, where all have, the oldest table.
func (s status) data() report.Part {
	var old []string
	var oldest *proctable.Node
	var age time.Duration
	for _, n := range s.Nodes() {
		t := n.Table()
		stale := t != nil && n.StaleSince(s.now) != 0
		if stale && old == nil {
			oldest = nil // the others are as new as somebody wanted them
		}
		if stale {
			old = append(old, string(n.Name))
		}
		if t != nil && (stale || old == nil) && (oldest == nil || s.now.Sub(t.Moment()) > age) {
			oldest, age = n, max(s.now.Sub(t.Moment()), 0)
		}
	}
	part := report.Part{Name: "data", State: report.OK}
	switch {
	case old != nil:
		part.State = "stale"
		part.Detail = fmt.Sprintf("old rows of %s were shown, since no newer ones came; the oldest are of %s, %s old: see what is said of these nodes", nodeset.Of(old...), oldest.Name, report.Span(age))
	case oldest != nil:
		part.Detail = fmt.Sprintf("the oldest table is of %s, %s old; each is made anew when it is read", oldest.Name, report.Span(age))
	default:
		part.Detail = "no table yet"
	}
	return part
}

// sweeps is how many tables came, and which node takes longest for its own.
func (s status) sweeps() report.Part {
	part := report.Part{Name: "sweeps", State: report.OK}
	var tables uint64
	var slowest *proctable.Node
	for _, n := range s.Nodes() {
		tables += n.Sweeps()
		if slowest == nil || n.SweepTime() > slowest.SweepTime() {
			slowest = n
		}
	}
	part.Detail = fmt.Sprintf("%d tables so far", tables)
	if slowest == nil || tables == 0 {
		return part
	}
	took := slowest.SweepTime()
	part.Detail += fmt.Sprintf("; %s took longest for its last, %v of the %v that a listing waits", slowest.Name, took.Round(100*time.Microsecond), s.t.Timeouts.Sweep)
	if took > s.t.Timeouts.Sweep {
		part.State = "slow"
		part.Detail += ": find out what keeps it, or set timeouts: sweep higher"
	}
	return part
}

// cache is what is cached, and how often that was of use.
func (s status) cache() report.Part {
	var size, entries, hits, misses, evicted int64
	for _, f := range s.t.Store.Figures() {
		size, entries = size+f.Bytes, entries+f.Entries
		hits, misses, evicted = hits+f.Hits, misses+f.Misses, evicted+f.Evicted
	}
	return report.Part{Name: "cache", State: report.OK, Detail: fmt.Sprintf("%.1f of %.1f MiB in %d values; %d hits, %d misses, %d evicted",
		float64(size)/(1<<20), float64(s.t.Store.Policy().MaxBytes)/(1<<20), entries, hits, misses, evicted)}
}

// NodesPart tells how many nodes are in which state.
func (t *Tables) NodesPart() report.Part { return nodesPart(t.Views.Nodes) }

func nodesPart(nodes []*proctable.Node) report.Part {
	states := make(map[upstream.State]int)
	for _, n := range nodes {
		states[n.Health().State]++
	}
	part := report.Part{Name: "nodes", State: report.OK}
	if len(nodes) == 0 {
		part.State, part.Detail = "none", "you see no nodes: see aggrfs whoami"
		return part
	}
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

// remedies are what to do about nodes in that state.
var remedies = map[upstream.State]string{
	upstream.Silent:     ": the node hangs, or the network to it is broken",
	upstream.Down:       ": see if procsrv runs there (systemctl status procsrv) and what its log says",
	upstream.Connecting: ": it is being connected to",
}

// maxReasons bounds the rows about nodes.
const maxReasons = 20

// problems has a row for each reason why nodes are not up, or lack something: which they are.
func problems(nodes []*proctable.Node) (parts []report.Part) {
	type why struct{ state, reason string }
	by := make(map[why][]string)
	since := make(map[why]time.Time)
	for _, n := range nodes {
		h, reason := n.Health(), problem(n)
		if h.State == upstream.Up && reason == "" {
			continue
		}
		w := why{string(h.State), cmp.Or(reason, "no reason is known") + remedies[h.State]}
		if h.State == upstream.Up {
			w.state = "lacking"
		}
		by[w] = append(by[w], string(n.Name))
		if since[w].IsZero() || !h.Last.IsZero() && h.Last.Before(since[w]) {
			since[w] = h.Last
		}
	}
	all := slices.SortedFunc(maps.Keys(by), func(a, b why) int {
		return cmp.Or(len(by[b])-len(by[a]), cmp.Compare(a.state, b.state), cmp.Compare(a.reason, b.reason))
	})
	for i, w := range all {
		if i == maxReasons {
			var rest []string
			for _, w := range all[i:] {
				rest = append(rest, by[w]...)
			}
			return append(parts, report.Part{Name: "node", State: "missing", Detail: fmt.Sprintf("%s: %d more reasons: see aggrfs nodes", nodeset.Of(rest...), len(all)-i)})
		}
		parts = append(parts, report.Part{Name: "node", State: w.state, Since: since[w], Detail: fmt.Sprintf("%s: %s", nodeset.Of(by[w]...), w.reason)})
	}
	return parts
}

// problem is what is wrong with a node, said as it would be of any other: without its name and
// its addresses, so that nodes with the same trouble are told of together.
func problem(n *proctable.Node) string {
	err := n.Problem()
	var op *net.OpError
	var errno syscall.Errno
	switch {
	case err == nil:
		return ""
	case errors.As(err, &op) && op.Op == "dial" && errors.As(err, &errno):
		return fmt.Sprintf("cannot be connected to (%v)", errno)
	}
	text := strings.ReplaceAll(err.Error(), n.Address, "its address")
	return strings.ReplaceAll(text, "node "+string(n.Name)+" ", "the node ")
}

// few are at most maxReasons of the texts, and how many more of what there are.
func few(texts []string, what string) []string {
	if more := len(texts) - maxReasons; more > 0 {
		return append(texts[:maxReasons:maxReasons], fmt.Sprintf("and %d more %s", more, what))
	}
	return texts
}
