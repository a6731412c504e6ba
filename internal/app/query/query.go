// Package query prints single files of cluster/, in text or JSON: the nodes, where a process
// is, and who the user is to the cluster.
package query

import (
	"context"
	"errors"
	"io"
	"syscall"
	"time"

	"github.com/aggrfs/aggrfs/internal/app/client"
	"github.com/aggrfs/aggrfs/internal/app/exit"
	"github.com/aggrfs/aggrfs/internal/app/gaps"
	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/report"
)

// Nodes prints the table of nodes.
func Nodes(ctx context.Context, src *client.Source, out io.Writer, asJSON bool) error {
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
	case isNoSuch(err) || errors.Is(err, syscall.EHOSTDOWN):
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

// isNoSuch reports whether err is that there is no such process.
func isNoSuch(err error) bool {
	return errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ESRCH)
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
