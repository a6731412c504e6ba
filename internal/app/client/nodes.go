package client

import (
	"context"
	"fmt"
	"strings"

	"github.com/aggrfs/aggrfs/internal/app/exit"
	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/report"
	"github.com/aggrfs/aggrfs/pkg/nodeset"
)

// A nodesNamer says which nodes there are, to whom it is asked for.
type nodesNamer func(context.Context) ([]string, error)

// RootPath is the root within the merged tree that --nodes and --exclude ask for. names
// is asked only where it takes all names to know.
func (s *Source) RootPath(ctx context.Context, names nodesNamer) (string, error) {
	if len(s.Nodes)+len(s.Exclude) == 0 {
		return "", nil
	}
	wanted, err := nodeset.ParseAll(s.Nodes...)
	if len(s.Nodes) > 0 && err != nil {
		return "", exit.Usagef("--nodes: %w", err)
	}
	if without := nonEmpty(s.Exclude); len(without) > 0 {
		excluded, err := nodeset.ParseAll(without...)
		if err != nil {
			return "", exit.Usagef("--exclude: %w", err)
		}
		known, err := names(ctx)
		if err != nil {
			return "", err
		}
		if strange := excluded.Minus(nodeset.Of(known...)); strange.Len() > 0 {
			s.Tell("--exclude: %s", notThere(strange, known))
		}
		if len(s.Nodes) == 0 {
			wanted = nodeset.Of(known...)
		}
		wanted = wanted.Minus(excluded)
	} else if len(s.Nodes) == 0 {
		return "", nil
	}
	if wanted.Len() == 0 {
		return "", exit.Usagef("--exclude: %s leaves no node", strings.Join(s.Exclude, ","))
	}
	return "/sets/" + wanted.String(), nil
}

// nonEmpty are the texts that say something: to exclude nothing is no mistake.
func nonEmpty(texts []string) (all []string) {
	for _, text := range texts {
		if strings.TrimSpace(text) != "" {
			all = append(all, text)
		}
	}
	return all
}

// unknownNodes says which of --nodes are not among the names, to whom it is asked for.
// It is nil if all are.
func (s *Source) unknownNodes(ctx context.Context, names nodesNamer) error {
	wanted, err := nodeset.ParseAll(s.Nodes...)
	if err != nil {
		return nil
	}
	known, err := names(ctx)
	if err != nil {
		return err
	}
	strange := wanted.Minus(nodeset.Of(known...))
	if strange.Len() == 0 {
		return nil
	}
	return exit.Usagef("--nodes: %s", notThere(strange, known))
}

// CheckIDs refuses processes of nodes that are not there: what has no node is not known
// to have ended. nodes is cluster/nodes of t, and what asked for them is a flag or text.
func (s *Source) CheckIDs(ctx context.Context, t *Tree, what string, ids []gpid.ID, nodes []report.Node) error {
	var wanted []string
	for _, id := range ids {
		if id.Node != "" {
			wanted = append(wanted, string(id.Node))
		}
	}
	names := Names(nodes)
	strange := nodeset.Of(wanted...).Minus(nodeset.Of(names...))
	if strange.Len() == 0 || len(names) == 0 {
		return nil
	}
	if len(s.Nodes)+len(s.Exclude) > 0 {
		all, err := t.Whole().NodeNames(ctx)
		if err != nil {
			return err
		}
		if names = all; strange.Minus(nodeset.Of(all...)).Len() == 0 {
			return exit.Usagef("%s: %s is left out by --nodes or --exclude", what, Short(strange))
		}
	}
	return exit.Usagef("%s: %s", what, notThere(strange.Minus(nodeset.Of(names...)), names))
}

// longSet is how long a nodeset may be in a message, in bytes.
const longSet = 200

// notThere says that there are no such nodes, and which there are.
func notThere(strange nodeset.Set, known []string) string {
	is := "is"
	if strange.Len() > 1 {
		is = "are"
	}
	text := fmt.Sprintf("%s %s not in the cluster, or not in your view", Short(strange), is)
	if len(known) == 0 {
		return text + ", in which there are no nodes (see aggrfs whoami)"
	}
	text += ", which has " + Short(nodeset.Of(known...))
	if near := nearest(strange, known); near.Len() > 0 {
		text += fmt.Sprintf(" (did you mean %s?)", Short(near))
	}
	return text
}

// nearest are the names that the strange ones nearly are. Only a few are looked for.
func nearest(strange nodeset.Set, known []string) nodeset.Set {
	const few = 8
	var near []string
	for i, name := range strange.Names() {
		if i == few {
			break
		}
		if one := nodeset.Nearest(name, known); one != "" {
			near = append(near, one)
		}
	}
	return nodeset.Of(near...)
}

// Short is the set in not too many words.
func Short(set nodeset.Set) string {
	text := set.String()
	if len(text) > longSet {
		text = fmt.Sprintf("%s... (%d nodes)", text[:longSet], set.Len())
	}
	return text
}
