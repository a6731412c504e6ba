package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aggrfs/aggrfs/pkg/nodeset"
)

// A missingNode is one whose processes are not among the rows.
type missingNode struct {
	Node   string `json:"node"`
	Reason string `json:"reason"`
}

// A staleNode is one whose rows are old, since it did not answer in time.
type staleNode struct {
	Node string `json:"node"`
	Age  string `json:"age"` // as "3.2s"
}

// gaps are what an answer lacks, found out with the answer itself.
type gaps struct {
	missing []missingNode
	lacking []missingNode // some of whose processes are not among the rows
	stale   []staleNode
	// blind: there are no nodes in the view, so that nothing could be seen.
	blind bool
}

// Words of the lines at the end of a table that tell what it lacks:
//
//	# missing NODE REASON...
//	# lacking NODE REASON...
//	# stale NODE AGE
const (
	missingWord = "missing"
	lackingWord = "lacking"
	staleWord   = "stale"
)

// add takes such a line; one of another kind is for a later version of this program.
func (g *gaps) add(line string) {
	words := strings.SplitN(strings.TrimSpace(strings.TrimPrefix(line, "#")), " ", 3)
	if len(words) < 2 {
		return
	}
	node := missingNode{words[1], "it did not answer"}
	if len(words) == 3 {
		node.Reason = words[2]
	}
	switch words[0] {
	case missingWord:
		g.missing = append(g.missing, node)
	case lackingWord:
		g.lacking = append(g.lacking, node)
	case staleWord:
		g.stale = append(g.stale, staleNode{node.Node, node.Reason})
	}
}

// join adds what another table lacks, each node once.
func (g *gaps) join(other gaps) {
	missing, lacking, stale := g.missingSet(), setOf(g.lacking), g.staleSet()
	for _, l := range other.lacking {
		if !lacking.Contains(l.Node) {
			g.lacking = append(g.lacking, l)
		}
	}
	for _, m := range other.missing {
		if !missing.Contains(m.Node) {
			g.missing = append(g.missing, m)
		}
	}
	for _, s := range other.stale {
		if !stale.Contains(s.Node) {
			g.stale = append(g.stale, s)
		}
	}
	g.blind = g.blind || other.blind
}

// none reports whether the answer is whole, and of now.
func (g *gaps) none() bool { return len(g.missing)+len(g.lacking)+len(g.stale) == 0 && !g.blind }

// of are the gaps of some of the nodes.
func (g *gaps) of(wanted func(node string) bool) gaps {
	some := gaps{blind: g.blind}
	for _, m := range g.missing {
		if wanted(m.Node) {
			some.missing = append(some.missing, m)
		}
	}
	for _, l := range g.lacking {
		if wanted(l.Node) {
			some.lacking = append(some.lacking, l)
		}
	}
	for _, s := range g.stale {
		if wanted(s.Node) {
			some.stale = append(some.stale, s)
		}
	}
	return some
}

// missingSet are the nodes none of whose processes are among the rows.
func (g *gaps) missingSet() nodeset.Set { return setOf(g.missing) }

func setOf(nodes []missingNode) nodeset.Set {
	names := make([]string, len(nodes))
	for i, m := range nodes {
		names[i] = m.Node
	}
	return nodeset.Of(names...)
}

func (g *gaps) staleSet() nodeset.Set {
	names := make([]string, len(g.stale))
	for i, s := range g.stale {
		names[i] = s.Node
	}
	return nodeset.Of(names...)
}

// nodesGaps are the gaps that a table of cluster/nodes shows: what a sweep of now lacks.
func nodesGaps(nodes table) (g gaps) {
	counted := nodes.column("MISSED") >= 0 // else the server is older, and says less in PROCS
	for _, row := range nodes.rows {
		name, state := nodes.cell(row, "NODE"), nodes.cell(row, "STATE")
		up, rows := state == "up", nodes.cell(row, "PROCS") != "-"
		wrong, stale := nodes.cell(row, "ERROR"), nodes.cell(row, "STALE")
		switch {
		case !rows, !up && !counted:
			g.missing = append(g.missing, missingNode{name, reasonOf(state, wrong)})
		case !up || counted && stale != "-":
			g.stale = append(g.stale, staleNode{name, stale})
		case counted && wrong != "-":
			g.lacking = append(g.lacking, missingNode{name, wrong})
		}
	}
	g.blind = len(nodes.rows) == 0
	return g
}

// reasonOf is why a node's processes are not known.
func reasonOf(state, err string) string {
	switch {
	case err == "-":
		return state
	case state == "up":
		return err
	}
	return state + ": " + err
}

// lines say to a person what is lacking, of that many nodes; 0 is not known.
func (g *gaps) lines(total int) (all []string) {
	if g.blind {
		all = append(all, noNodes)
	}
	if len(g.missing) > 0 {
		all = append(all, missingText(g.missingSet(), total))
	}
	if len(g.lacking) > 0 {
		all = append(all, g.lackingText())
	}
	if len(g.stale) > 0 {
		all = append(all, g.staleText())
	}
	return all
}

// missingText says which of that many nodes, 0 is not known, are missing.
func missingText(set nodeset.Set, total int) string {
	switch {
	case set.Len() == 1 && total <= 1:
		return set.String() + " does not answer: its processes are not shown (see aggrfs nodes)"
	case total > 0:
		return fmt.Sprintf("no answer from %d of %d nodes, whose processes are not shown: %s (see aggrfs nodes)", set.Len(), total, short(set))
	}
	return fmt.Sprintf("no answer from %d nodes, whose processes are not shown: %s (see aggrfs nodes)", set.Len(), short(set))
}

// lackingText says of which nodes some processes are not shown. There are any.
func (g *gaps) lackingText() string {
	if len(g.lacking) == 1 {
		return fmt.Sprintf("not all processes of %s are shown: %s", g.lacking[0].Node, g.lacking[0].Reason)
	}
	return fmt.Sprintf("not all processes of %s are shown (see aggrfs nodes)", short(setOf(g.lacking)))
}

// staleText says which nodes' rows are old. There are any.
func (g *gaps) staleText() string {
	if len(g.stale) == 1 {
		return fmt.Sprintf("%s did not answer in time: its rows are %s old", g.stale[0].Node, ageText(g.stale[0].Age))
	}
	return fmt.Sprintf("%s did not answer in time: their rows are up to %s old", short(g.staleSet()), ageText(g.oldest()))
}

func (g *gaps) oldest() (age string) {
	var most time.Duration
	for _, s := range g.stale {
		if d, err := time.ParseDuration(s.Age); err == nil && d >= most {
			most, age = d, s.Age
		}
	}
	return age
}

// ageText is an age as people write it.
func ageText(age string) string {
	if seconds, ok := strings.CutSuffix(age, "s"); ok && strings.Trim(seconds, "0123456789.") == "" {
		return seconds + " s"
	}
	return age
}

// tellGaps says on standard error what an answer lacks.
func (a *app) tellGaps(g gaps, total int) {
	for _, line := range g.lines(total) {
		a.tell("%s", line)
	}
}

// tellNow says on standard error what the tree lacks now, which is also returned with
// the table that says so.
func (a *app) tellNow(ctx context.Context, t *tree) (gaps, table, error) {
	nodes, err := nodesTable(ctx, t)
	if err != nil {
		return gaps{}, nodes, fmt.Errorf("how the nodes are is not known: %w", err)
	}
	g := nodesGaps(nodes)
	a.tellGaps(g, len(nodes.rows))
	return g, nodes, nil
}

// errNothingKnown is in place of "there is none" where that is not known.
func errNothingKnown(what string, g gaps) error {
	why := "its node did not answer"
	switch {
	case g.blind:
		return errNoNodes()
	case len(g.missing) > 0:
		why = "no answer from " + short(g.missingSet())
	case len(g.lacking) > 0:
		why = g.lackingText()
	case len(g.stale) > 0:
		why = g.staleText()
	}
	return notKnown(fmt.Errorf("it is not known %s: %s", what, why))
}

// noNodes says to whom a view has none why nothing is shown.
const noNodes = "you see no nodes: no view is yours, or its allocation has none now (see aggrfs whoami)"

// errNoNodes is the answer to whom a view has no nodes: nothing is known of any.
func errNoNodes() error { return notKnown(errors.New(noNodes)) }
