// Package query prints single files of cluster/, in text or JSON: the nodes, where a process
// is, and who the user is to the cluster.
package query

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/aggrfs/aggrfs/internal/app/client"
	"github.com/aggrfs/aggrfs/internal/app/exit"
	"github.com/aggrfs/aggrfs/internal/app/gaps"
	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/report"
)

// states are those of nodes.
var states = []string{report.StateUp, "silent", "down", "connecting"}

// Nodes prints the table of nodes, or of those in some states; none is all.
func Nodes(ctx context.Context, src *client.Source, out io.Writer, asJSON bool, in []string) error {
	for _, state := range in {
		if !slices.Contains(states, state) {
			return exit.Usagef("--state: %q is none of %s", state, strings.Join(states, ", "))
		}
	}
	tree, err := src.OpenTable(ctx)
	if err != nil {
		return err
	}
	defer tree.Close()
	at := time.Now()
	text, err := tree.Read(ctx, "cluster", "nodes")
	if err != nil {
		return err
	}
	nodes, err := report.ParseNodes(text)
	if err != nil {
		return err
	}
	g := gaps.OfNodes(nodes)
	if len(in) > 0 {
		nodes = slices.DeleteFunc(nodes, func(n report.Node) bool { return !slices.Contains(in, n.State) })
		text = report.EncodeNodes(nodes)
	}
	if asJSON {
		err = report.WriteRows(out, g.Answer(at), nodes)
	} else {
		_, err = out.Write(text)
	}
	switch {
	case err != nil:
		return err
	case g.Blind:
		return gaps.NoNodes()
	case src.Strict && !g.None():
		return exit.NotComplete() // which nodes is in the table
	}
	return nil
}

// Where prints where a process is, which is named as GPID or NODE:PID.
func Where(ctx context.Context, src *client.Source, out io.Writer, name string, asJSON bool) error {
	id, err := gpid.ParseID(name)
	if err != nil {
		return exit.Usagef("%w", err)
	}
	tree, err := src.OpenTable(ctx)
	if err != nil {
		return err
	}
	defer tree.Close()
	at := time.Now()
	text, err := tree.Read(ctx, "cluster", "where", name)
	var found []report.Where
	var g gaps.Gaps
	switch {
	case err == nil:
		if found, err = report.ParseWhere(text); err != nil {
			return err
		}
	case errors.Is(err, syscall.ENOENT), errors.Is(err, syscall.ESRCH), errors.Is(err, syscall.EHOSTDOWN):
		nodes, lost := tree.Nodes(ctx)
		if lost != nil {
			return lost
		}
		g = gaps.OfNodes(nodes)
		if err = notFound(ctx, src, tree, name, id, nodes, err); exit.Status(err) == exit.Usage {
			return err
		}
	default:
		return err
	}
	if asJSON {
		err = errors.Join(report.WriteRows(out, g.Answer(at), found), err)
	} else if err == nil {
		_, err = out.Write(text)
	}
	return err
}

// notFound says why a process is not shown: it is not there, nobody knows, or there is no
// such node. nodes is cluster/nodes.
func notFound(ctx context.Context, src *client.Source, t *client.Tree, name string, id gpid.ID, nodes []report.Node, err error) error {
	g, wanted := gaps.OfNodes(nodes), []gpid.ID{id}
	if hiding := g.Hiding(wanted); errors.Is(err, syscall.EHOSTDOWN) || !hiding.None() {
		return gaps.NothingKnown("where "+name+" is", hiding)
	}
	if err := src.CheckIDs(ctx, t, name, wanted, nodes); err != nil {
		return err
	}
	return exit.Absentf("no process %s: it has ended, or its node is not in the cluster or not in your view (see aggrfs nodes)", name)
}

// Whoami prints who the user is to the server or, where none is asked, to the kernel.
func Whoami(ctx context.Context, src *client.Source, out io.Writer, asJSON bool) error {
	tree, err := src.OpenTable(ctx)
	if err != nil {
		return err
	}
	defer tree.Close()
	at := time.Now()
	var text []byte
	if tree.Origin == client.OfServer || src.As != "" {
		text, err = tree.Read(ctx, "cluster", "whoami")
	} else {
		text, err = ownWhoami(ctx, src, tree)
	}
	if err != nil {
		return err
	}
	if asJSON {
		return report.WriteRows(out, report.Answer{At: at}, []report.Whoami{report.ParseWhoami(text)})
	}
	_, err = out.Write(text)
	return err
}

// ownWhoami is what cluster/whoami is where this process reads for its user alone: the
// tree that it makes for itself has no view, and takes the user for root.
func ownWhoami(ctx context.Context, src *client.Source, t *client.Tree) ([]byte, error) {
	who, err := client.Self()
	if err != nil {
		return nil, err
	}
	names, err := t.NodeNames(ctx)
	if err != nil {
		return nil, err
	}
	groups := []string{fmt.Sprint(who.GID)}
	for _, g := range who.Groups {
		groups = append(groups, fmt.Sprint(g))
	}
	rule, place := "none: this machine alone, without a server; the kernel decides what you see", ""
	if t.Origin == client.OfNodes {
		rule, place = "none: you connect to the nodes yourself, without a server; they decide what you see", src.Config
	}
	return report.EncodeWhoami(report.Whoami{
		User: report.UserText(src.Users.UserName(who.UID), who.UID), Groups: strings.Join(groups, ","),
		Rule: rule, Place: place, Nodes: report.NodesText(names), Processes: "all that you are shown",
	}), nil
}
