package gaps

import (
	"context"
	"maps"
	"strings"

	"github.com/aggrfs/aggrfs/internal/app/client"
	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/report"
	"github.com/aggrfs/aggrfs/pkg/nodeset"
)

// A Look is what a tree lacks at one moment, and how often it has lacked what so far.
// Two of them tell what it lacked in between.
//
// It takes the counts: a program that looks at /proc while a node, or the server, does
// not answer sees fewer processes or none, and no error.
type Look struct {
	gaps   Gaps
	nodes  nodeset.Set
	missed map[string]uint64 // answers so far that lacked a node or showed old values of it, as cluster/nodes has it
	gone   uint64            // answers so far that the server did not give at all
}

// missedCounter is a tree that counts what its answers lacked.
type missedCounter interface {
	Missed() map[gpid.NodeName]uint64
}

// LookOf is a look at a tree whose cluster/nodes was just read.
func LookOf(t *client.Tree, nodes []report.Node) Look {
	l := Look{gaps: OfNodes(nodes), nodes: nodeset.Of(client.Names(nodes)...), missed: make(map[string]uint64), gone: goneCount(t)}
	for i := range nodes {
		if n := nodes[i].Missed; n != nil {
			l.missed[nodes[i].Name] = *n
		}
	}
	return l
}

// goneCount is how many answers the server of a tree did not give.
func goneCount(t *client.Tree) (sum uint64) {
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
	return nodeset.Of(lacked...), before.nodes.Minus(l.nodes), gone || l.gone > before.gone
}

// TellSince says on standard error what the tree has lacked since before, while command
// ran, and reports whether that is nothing.
func TellSince(ctx context.Context, e *client.Env, t *client.Tree, before Look, command string) (whole bool) {
	nodes, err := t.Nodes(ctx)
	if err != nil {
		e.Tell("while %s ran the tree went away, and its processes with it: %v", command, err)
		return false
	}
	after := LookOf(t, nodes)
	missing, left, gone := after.since(before)
	var what []string
	if gone {
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
