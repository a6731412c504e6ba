package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aggrfs/aggrfs/internal/app/client"
	"github.com/aggrfs/aggrfs/internal/app/exit"
	"github.com/aggrfs/aggrfs/internal/plaintext"
	"github.com/aggrfs/aggrfs/pkg/aggregate/report"
	"github.com/aggrfs/aggrfs/pkg/nodeset"
)

// gaps are what an answer lacks, found out with the answer itself.
type gaps struct {
	remarks []report.Remark // each kind of each node once
	// blind: there are no nodes in the view, so that nothing could be seen.
	blind bool
}

// nodesGaps are the gaps that cluster/nodes shows: what a sweep of now lacks.
func nodesGaps(nodes []report.Node) gaps {
	g := gaps{blind: len(nodes) == 0}
	for i := range nodes {
		if r, lacks := nodes[i].Remark(); lacks {
			g.remarks = append(g.remarks, r)
		}
	}
	return g
}

// join adds what another table lacks.
func (g *gaps) join(other gaps) {
	type about struct {
		kind report.Kind
		node string
	}
	known := make(map[about]bool, len(g.remarks))
	for _, r := range g.remarks {
		known[about{r.Kind, r.Node}] = true
	}
	for _, r := range other.remarks {
		if !known[about{r.Kind, r.Node}] {
			g.remarks = append(g.remarks, r)
		}
	}
	g.blind = g.blind || other.blind
}

// none reports whether the answer is whole, and of now.
func (g *gaps) none() bool { return len(g.remarks) == 0 && !g.blind }

// of are the gaps of some of the nodes.
func (g *gaps) of(wanted func(node string) bool) gaps {
	some := gaps{blind: g.blind}
	for _, r := range g.remarks {
		if wanted(r.Node) {
			some.remarks = append(some.remarks, r)
		}
	}
	return some
}

// about are the remarks of a kind.
func (g *gaps) about(kind report.Kind) (all []report.Remark) {
	for _, r := range g.remarks {
		if r.Kind == kind {
			all = append(all, r)
		}
	}
	return all
}

// nodes are those that the remarks of a kind are about.
func (g *gaps) nodes(kind report.Kind) nodeset.Set {
	var names []string
	for _, r := range g.about(kind) {
		names = append(names, r.Node)
	}
	return nodeset.Of(names...)
}

// answer is what commands print of it in JSON.
func (g *gaps) answer(at time.Time) report.Answer {
	return report.Answer{At: at, Remarks: g.remarks, NoNodes: g.blind}
}

// lines say to a person what is lacking, of that many nodes; 0 is not known.
func (g *gaps) lines(total int) (all []string) {
	if g.blind {
		all = append(all, noNodes)
	}
	if missing := g.nodes(report.Missing); missing.Len() > 0 {
		all = append(all, missingText(missing, total))
	}
	if lacking := g.about(report.Lacking); len(lacking) > 0 {
		all = append(all, g.lackingText())
	}
	if stale := g.about(report.Stale); len(stale) > 0 {
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
func (g *gaps) lackingText() string {
	if lacking := g.about(report.Lacking); len(lacking) == 1 {
		return fmt.Sprintf("not all processes of %s are shown: %s", lacking[0].Node, plaintext.Escape(lacking[0].Reason))
	}
	return fmt.Sprintf("not all processes of %s are shown (see aggrfs nodes)", client.Short(g.nodes(report.Lacking)))
}

// staleText says which nodes' rows are old. There are any.
func (g *gaps) staleText() string {
	stale := g.about(report.Stale)
	if len(stale) == 1 {
		return fmt.Sprintf("%s did not answer in time: its rows are %s old", stale[0].Node, ageText(stale[0].Age))
	}
	var oldest report.Age
	for _, r := range stale {
		oldest = max(oldest, r.Age)
	}
	return fmt.Sprintf("%s did not answer in time: their rows are up to %s old", client.Short(g.nodes(report.Stale)), ageText(oldest))
}

// ageText is an age as people write it, "3.2 s".
func ageText(age report.Age) string {
	if age == 0 {
		return "-"
	}
	return strings.TrimSuffix(age.String(), "s") + " s"
}

// tellGaps says on standard error what an answer lacks.
func (a *app) tellGaps(g gaps, total int) {
	for _, line := range g.lines(total) {
		a.env.Tell("%s", line)
	}
}

// tellNow says on standard error what the tree lacks now, which is also returned with
// the rows that say so.
func (a *app) tellNow(ctx context.Context, t *tree) (gaps, []report.Node, error) {
	nodes, err := t.Nodes(ctx)
	if err != nil {
		return gaps{}, nil, fmt.Errorf("how the nodes are is not known: %w", err)
	}
	g := nodesGaps(nodes)
	a.tellGaps(g, len(nodes))
	return g, nodes, nil
}

// errNothingKnown is in place of "there is none" where that is not known.
func errNothingKnown(what string, g gaps) error {
	missing := g.nodes(report.Missing)
	why := "its node did not answer"
	switch {
	case g.blind:
		return errNoNodes()
	case missing.Len() > 0:
		why = "no answer from " + client.Short(missing)
	case len(g.about(report.Lacking)) > 0:
		why = g.lackingText()
	case len(g.about(report.Stale)) > 0:
		why = g.staleText()
	}
	return exit.NotKnown(fmt.Errorf("it is not known %s: %s", what, why))
}

// noNodes says to whom a view has none why nothing is shown.
const noNodes = "you see no nodes: no view is yours, or its allocation has none now (see aggrfs whoami)"

// errNoNodes is the answer to whom a view has no nodes: nothing is known of any.
func errNoNodes() error { return exit.NotKnown(errors.New(noNodes)) }
