package main

import (
	"context"
	"maps"
	"strings"

	"github.com/aggrfs/aggrfs/internal/app/client"
	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/report"
	"github.com/aggrfs/aggrfs/pkg/nodeset"
)

// A look is what a tree lacks at one moment, and how often it has lacked what so far.
// Two of them tell what it lacked in between.
//
// It takes the counts: a program that looks at /proc while a node, or the server, does
// not answer sees fewer processes or none, and no error.
type look struct {
	gaps   gaps
	nodes  nodeset.Set
	missed map[string]uint64 // answers so far that lacked a node or showed old values of it, as cluster/nodes has it
	gone   uint64            // answers so far that the server did not give at all
}

// missedCounter is a tree that counts what its answers lacked.
type missedCounter interface {
	Missed() map[gpid.NodeName]uint64
}

// lookOf is a look at a tree whose cluster/nodes was just read.
func lookOf(t *tree, g gaps, nodes []report.Node) look {
	l := look{gaps: g, nodes: nodeset.Of(client.Names(nodes)...), missed: make(map[string]uint64), gone: goneCount(t)}
	for i := range nodes {
		if n := nodes[i].Missed; n != nil {
			l.missed[nodes[i].Name] = *n
		}
	}
	return l
}

// goneCount is how many answers the server of a tree did not give.
func goneCount(t *tree) (sum uint64) {
	if c, ok := t.Tree.(missedCounter); ok && t.Origin == client.OfServer {
		for n := range maps.Values(c.Missed()) {
			sum += n
		}
	}
	return sum
}

// since is what a tree lacked between two looks and was not told at the first: nodes
// that were missing or old at some time, those that have left the view, and whether the server
// was gone or is another.
func (l *look) since(before look) (missing, left nodeset.Set, gone bool) {
	told := before.gaps.nodes(report.Missing)
	now := l.gaps.nodes(report.Missing)
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
	return nodeset.Of(lacked...), before.nodes.Minus(l.nodes), gone || l.gone > before.gone
}

// tellSince says on standard error what the tree has lacked since before, while command
// ran, and reports whether that is nothing.
func (a *app) tellSince(ctx context.Context, t *tree, before look, command string) (whole bool) {
	nodes, err := t.Nodes(ctx)
	if err != nil {
		a.env.Tell("while %s ran the tree went away, and its processes with it: %v", command, err)
		return false
	}
	after := lookOf(t, nodesGaps(nodes), nodes)
	missing, left, gone := after.since(before)
	var what []string
	if gone {
		what = append(what, "the server did not answer for a time, so that no process was shown")
	}
	if missing.Len() > 0 {
		what = append(what, "the processes of "+client.Short(missing)+" were missing or old for a time (see aggrfs nodes)")
	}
	if fewer := after.gaps.nodes(report.Lacking).Minus(before.gaps.nodes(report.Lacking)).Minus(missing); fewer.Len() > 0 {
		what = append(what, "not all processes of "+client.Short(fewer)+" were shown (see aggrfs nodes)")
	}
	if late := after.gaps.nodes(report.Stale).Minus(before.gaps.nodes(report.Stale)).Minus(missing); late.Len() > 0 {
		what = append(what, client.Short(late)+" did not answer in time, so that old rows were shown")
	}
	if left.Len() > 0 {
		what = append(what, client.Short(left)+" left your view (see aggrfs whoami)")
	}
	if len(what) > 0 {
		a.env.Tell("while %s ran %s", command, strings.Join(what, ", and "))
	}
	return len(what) == 0
}
