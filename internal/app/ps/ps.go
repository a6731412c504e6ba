// Package ps shows the processes of a cluster as a table, in text or JSON: which rows are
// wanted, by user and pid, which columns, and in which order.
package ps

import (
	"context"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/aggrfs/aggrfs/internal/app/client"
	"github.com/aggrfs/aggrfs/internal/app/exit"
	"github.com/aggrfs/aggrfs/internal/app/gaps"
	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/report"
)

// Options are what is asked for.
type Options struct {
	Full, JSON, NoHeaders, Jobs bool
	Letters                     *string  // ps(1)'s options without a dash, such as "aux"; nil is none
	Columns, Sort               string   // names of columns, with commas; "" is the usual ones
	Users                       []string // by name or number; none is all
	PIDs                        []string // global ones, or NODE:PID; none is all
}

// A query is what is asked for, once its form has been checked.
type query struct {
	Options
	columns []report.ProcessColumn
	keys    []key
	wanted  []gpid.ID // PIDs, parsed
	owners  []string  // of the rows, as these have them; none is all
}

func (o Options) parse() (q query, err error) {
	if o.Letters != nil {
		if *o.Letters == "" || strings.Trim(*o.Letters, "auxwef") != "" {
			return q, exit.Usagef("unknown option %q: of those that ps(1) has without a dash there are aux and its letters (a, u, x, w, e, f)", *o.Letters)
		}
		o.Full = o.Full || strings.ContainsAny(*o.Letters, "uf")
	}
	q.Options = o
	if q.columns, err = o.shown(); err != nil {
		return q, err
	}
	if q.keys, err = o.keys(); err != nil {
		return q, err
	}
	for _, pid := range o.PIDs {
		id, err := gpid.ParseID(pid)
		if err != nil {
			return q, exit.Usagef("-p: %w", err)
		}
		q.wanted = append(q.wanted, id)
	}
	return q, nil
}

// Print prints the table. Its errors, but for those of exit.Failed and exit.Usage, are that the
// answer is not known.
func Print(ctx context.Context, src *client.Source, out io.Writer, o Options) error {
	q, err := o.parse()
	if err != nil {
		return err
	}
	tree, err := src.OpenTable(ctx)
	if err != nil {
		return err
	}
	defer tree.Close()
	users, err := usersAsked(ctx, src, tree, o.Users)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(q.wanted, func(id gpid.ID) bool { return id.Node != "" }) {
		nodes, err := tree.Nodes(ctx)
		if err != nil {
			return err
		}
		if err := src.CheckIDs(ctx, tree, "-p", q.wanted, nodes); err != nil {
			return err
		}
	}
	at := time.Now()
	rows, g, err := q.sweep(ctx, src.Env, tree, users)
	if err != nil {
		return err
	}
	total, err := fillIn(ctx, tree, &g, len(rows))
	if err != nil {
		return err
	}
	sortRows(rows, q.keys)
	if o.JSON {
		err = g.Answer(at).Write(out, len(rows), func(i int) map[string]any { return object(rows[i], q.columns) })
	} else {
		err = write(out, rows, q.columns, !o.NoHeaders)
	}
	if err == nil && g.Blind {
		return gaps.NoNodes()
	}
	gaps.Tell(src.Env, g, total)
	hiding := g.Hiding(q.wanted)
	switch {
	case err != nil:
		return err
	case src.Strict && !g.None():
		return exit.NotComplete()
	case len(rows) == 0 && !hiding.None():
		return gaps.NothingKnown("whether there is such a process", hiding)
	case len(rows) == 0 && len(o.Users)+len(o.PIDs) > 0: // ps fails, too
		return exit.Absentf("no such process")
	}
	return nil
}

// wants reports whether a row is of a process that -p names, if it names any.
func (q *query) wants(p *report.Process) bool {
	return len(q.wanted) == 0 || slices.ContainsFunc(q.wanted, func(id gpid.ID) bool {
		if id.Node != "" {
			return p.Node == string(id.Node) && p.PID == id.PID
		}
		return p.GPID == id.GPID
	})
}
