// Package gaps is what an answer lacks: the nodes whose processes are missing, not all there or
// old. It is found with the answer itself, told to people, and decides whether "there is none"
// is known.
package gaps

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aggrfs/aggrfs/internal/app/client"
	"github.com/aggrfs/aggrfs/internal/app/exit"
	"github.com/aggrfs/aggrfs/internal/plaintext"
	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/report"
	"github.com/aggrfs/aggrfs/pkg/nodeset"
)

// Gaps are what an answer lacks, found out with the answer itself.
type Gaps struct {
	Remarks []report.Remark // each kind of each node once
	// Blind: there are no nodes in the view, so that nothing could be seen.
	Blind bool
}

// OfNodes are the gaps that cluster/nodes shows: what a sweep of now lacks.
func OfNodes(nodes []report.Node) Gaps {
	g := Gaps{Blind: len(nodes) == 0}
	for i := range nodes {
		if r, lacks := nodes[i].Remark(); lacks {
			g.Remarks = append(g.Remarks, r)
		}
	}
	return g
}

// Join adds what another table lacks.
func (g *Gaps) Join(other Gaps) {
	type about struct {
		kind report.Kind
		node string
	}
	known := make(map[about]bool, len(g.Remarks))
	for _, r := range g.Remarks {
		known[about{r.Kind, r.Node}] = true
	}
	for _, r := range other.Remarks {
		if !known[about{r.Kind, r.Node}] {
			g.Remarks = append(g.Remarks, r)
		}
	}
	g.Blind = g.Blind || other.Blind
}

// None reports whether the answer is whole, and of now.
func (g *Gaps) None() bool { return len(g.Remarks) == 0 && !g.Blind }

// Of are the gaps of some of the nodes.
func (g *Gaps) Of(wanted func(node string) bool) Gaps {
	some := Gaps{Blind: g.Blind}
	for _, r := range g.Remarks {
		if wanted(r.Node) {
			some.Remarks = append(some.Remarks, r)
		}
	}
	return some
}

// Hiding are the gaps that a process which was asked for may be in, where it is not among
// the rows; without a process, any. Old rows are one, too: it may have begun since.
func (g *Gaps) Hiding(wanted []gpid.ID) Gaps {
	if len(wanted) == 0 || slices.ContainsFunc(wanted, func(id gpid.ID) bool { return id.Node == "" }) {
		return *g
	}
	return g.Of(func(node string) bool {
		return slices.ContainsFunc(wanted, func(id gpid.ID) bool { return string(id.Node) == node })
	})
}

// About are the remarks of a kind.
func (g *Gaps) About(kind report.Kind) (all []report.Remark) {
	for _, r := range g.Remarks {
		if r.Kind == kind {
			all = append(all, r)
		}
	}
	return all
}

// Nodes are those that the remarks of a kind are about.
func (g *Gaps) Nodes(kind report.Kind) nodeset.Set {
	var names []string
	for _, r := range g.About(kind) {
		names = append(names, r.Node)
	}
	return nodeset.Of(names...)
}

// Answer is what commands print of it in JSON.
func (g *Gaps) Answer(at time.Time) report.Answer {
	return report.Answer{At: at, Remarks: g.Remarks, NoNodes: g.Blind}
}

// lines say to a person what is lacking, of that many nodes; 0 is not known.
func (g *Gaps) lines(total int) (all []string) {
	if g.Blind {
		all = append(all, noNodes)
	}
	if missing := g.Nodes(report.Missing); missing.Len() > 0 {
		all = append(all, missingText(missing, total))
	}
	if lacking := g.About(report.Lacking); len(lacking) > 0 {
		all = append(all, g.lackingText())
	}
	if stale := g.About(report.Stale); len(stale) > 0 {
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
		return fmt.Sprintf("no answer from %d of %d nodes, whose processes are not shown: %s (see aggrfs nodes)", set.Len(), total, client.Short(set))
	}
	return fmt.Sprintf("no answer from %d nodes, whose processes are not shown: %s (see aggrfs nodes)", set.Len(), client.Short(set))
}

// lackingText says of which nodes some processes are not shown. There are any.
func (g *Gaps) lackingText() string {
	if lacking := g.About(report.Lacking); len(lacking) == 1 {
		return fmt.Sprintf("not all processes of %s are shown: %s", lacking[0].Node, plaintext.Escape(lacking[0].Reason))
	}
	return fmt.Sprintf("not all processes of %s are shown (see aggrfs nodes)", client.Short(g.Nodes(report.Lacking)))
}

// staleText says which nodes' rows are old. There are any.
func (g *Gaps) staleText() string {
	stale := g.About(report.Stale)
	if len(stale) == 1 {
		return fmt.Sprintf("%s did not answer in time: its rows are %s old", stale[0].Node, ageText(stale[0].Age))
	}
	var oldest report.Age
	for _, r := range stale {
		oldest = max(oldest, r.Age)
	}
	return fmt.Sprintf("%s did not answer in time: their rows are up to %s old", client.Short(g.Nodes(report.Stale)), ageText(oldest))
}

// ageText is an age as people write it, "3.2 s".
func ageText(age report.Age) string {
	if age == 0 {
		return "-"
	}
	return strings.TrimSuffix(age.String(), "s") + " s"
}

// Tell says on standard error what an answer lacks. total is how many nodes there are; 0 is that
// it is not known.
func Tell(e *client.Env, g Gaps, total int) {
	for _, line := range g.lines(total) {
		e.Tell("%s", line)
	}
}

// TellNow says on standard error what the tree lacks now, which is also returned with
// the rows that say so.
func TellNow(ctx context.Context, e *client.Env, t *client.Tree) (Gaps, []report.Node, error) {
	nodes, err := t.Nodes(ctx)
	if err != nil {
		return Gaps{}, nil, fmt.Errorf("the state of the nodes is not known: %w", err)
	}
	g := OfNodes(nodes)
	Tell(e, g, len(nodes))
	return g, nodes, nil
}

// NothingKnown is in place of "there is none" where that is not known.
func NothingKnown(what string, g Gaps) error {
	missing := g.Nodes(report.Missing)
	why := "its node did not answer"
	switch {
	case g.Blind:
		return NoNodes()
	case missing.Len() > 0:
		why = "no answer from " + client.Short(missing)
	case len(g.About(report.Lacking)) > 0:
		why = g.lackingText()
	case len(g.About(report.Stale)) > 0:
		why = g.staleText()
	}
	return exit.NotKnown(fmt.Errorf("it is not known %s: %s", what, why))
}

// noNodes says to whom a view has none why nothing is shown.
const noNodes = "you see no nodes: no view is for you, or no node is allocated to you now (see aggrfs whoami)"

// NoNodes is the answer to whom a view has no nodes: nothing is known of any.
func NoNodes() error { return exit.NotKnown(errors.New(noNodes)) }

// A Look is what a tree lacks at one moment, and how often it has lacked what so far.
// Two of them tell what it lacked in between.
//
// It takes the counts: a program that looks at /proc while a node, or the server, does
// not answer sees fewer processes or none, and no error.
type Look struct {
	gaps   Gaps
	nodes  nodeset.Set
	missed map[string]uint64 // answers so far that lacked a node or showed old values of it, as cluster/nodes has it
}

// LookOf is a look at cluster/nodes.
func LookOf(nodes []report.Node) Look {
	l := Look{gaps: OfNodes(nodes), nodes: nodeset.Of(client.Names(nodes)...), missed: make(map[string]uint64)}
	for i := range nodes {
		if n := nodes[i].Missed; n != nil {
			l.missed[nodes[i].Name] = *n
		}
	}
	return l
}

// since is what a tree lacked between two looks and was not told at the first: nodes
// that were missing or old at some time, those that have left the view, and whether the server
// was gone or is another.
func (l *Look) since(before Look) (missing, left nodeset.Set, gone bool) {
	told := before.gaps.Nodes(report.Missing)
	now := l.gaps.Nodes(report.Missing)
	var lacked []string
	for name := range l.nodes.All() {
		was, is := before.missed[name], l.missed[name]
		if is < was {
			gone = true // and has been started again
		}
		if !told.Contains(name) && (now.Contains(name) || is > was) {
			lacked = append(lacked, name)
		}
	}
	return nodeset.Of(lacked...), before.nodes.Minus(l.nodes), gone
}

// TellSince says on standard error what the tree has lacked since before, while command
// ran, and reports whether that is nothing. gone is how often its server went away meanwhile.
func TellSince(ctx context.Context, e *client.Env, t *client.Tree, before Look, gone uint64, command string) (whole bool) {
	nodes, err := t.Nodes(ctx)
	if err != nil {
		e.Tell("while %s ran the tree went away, and its processes with it: %v", command, err)
		return false
	}
	after := LookOf(nodes)
	missing, left, another := after.since(before)
	var what []string
	if another || gone > 0 {
		what = append(what, "the server did not answer for a time, so that no process was shown")
	}
	if missing.Len() > 0 {
		what = append(what, "the processes of "+client.Short(missing)+" were missing or old for a time (see aggrfs nodes)")
	}
	if fewer := after.gaps.Nodes(report.Lacking).Minus(before.gaps.Nodes(report.Lacking)).Minus(missing); fewer.Len() > 0 {
		what = append(what, "not all processes of "+client.Short(fewer)+" were shown (see aggrfs nodes)")
	}
	if late := after.gaps.Nodes(report.Stale).Minus(before.gaps.Nodes(report.Stale)).Minus(missing); late.Len() > 0 {
		what = append(what, client.Short(late)+" did not answer in time, so that old rows were shown")
	}
	if left.Len() > 0 {
		what = append(what, client.Short(left)+" left your view (see aggrfs whoami)")
	}
	if len(what) > 0 {
		e.Tell("while %s ran %s", command, strings.Join(what, ", and "))
	}
	return len(what) == 0
}
