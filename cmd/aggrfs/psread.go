package main

import (
	"context"
	"io"
	"slices"
	"time"

	"github.com/aggrfs/aggrfs/internal/app/exit"
	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/report"
)

// ps prints the table.
func (a *app) ps(ctx context.Context, src *source, o *psOptions, out io.Writer) error {
	columns, err := o.shown()
	if err != nil {
		return err
	}
	keys, err := o.keys()
	if err != nil {
		return err
	}
	if o.wanted, err = parsePIDs(o.pids); err != nil {
		return err
	}
	tree, err := src.OpenTable(ctx)
	if err != nil {
		return err
	}
	defer tree.Close()
	users, err := a.usersAsked(ctx, src, tree, o)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(o.wanted, func(id gpid.ID) bool { return id.Node != "" }) {
		nodes, err := tree.Nodes(ctx)
		if err != nil {
			return err
		}
		if err := src.CheckIDs(ctx, tree, "-p", o.wanted, nodes); err != nil {
			return err
		}
	}
	at := time.Now()
	rows, g, err := a.sweepPS(ctx, tree, o, users, wantsJob(columns, keys))
	if err != nil {
		return err
	}
	total, err := fillIn(ctx, tree, &g, len(rows))
	if err != nil {
		return err
	}
	sortPS(rows, keys)
	if o.json {
		err = g.answer(at).Write(out, len(rows), func(i int) map[string]any { return psObject(rows[i], columns) })
	} else {
		err = writePS(out, rows, columns, !o.noHeaders)
	}
	if err == nil && g.blind {
		return errNoNodes()
	}
	a.tellGaps(g, total)
	hiding := o.hiding(g)
	switch {
	case err != nil:
		return err
	case src.Strict && !g.none():
		return exit.NotComplete()
	case len(rows) == 0 && !hiding.none():
		return errNothingKnown("whether there is such a process", hiding)
	case len(rows) == 0 && len(o.users)+len(o.pids) > 0: // ps fails, too
		return exit.Absentf("no such process")
	}
	return nil
}

// sweepPS reads the rows that are wanted and what they lack.
func (a *app) sweepPS(ctx context.Context, t *tree, o *psOptions, users []psUser, jobs bool) (rows []*report.Process, g gaps, err error) {
	progress := showProgress()
	defer progress.end()
	if len(users) > 0 && t.Remarks {
		rows, g, err = readUsers(ctx, t, o, users, progress)
	} else {
		if o.owners, err = a.ownersOf(ctx, t, users); err != nil {
			return nil, g, err
		}
		rows, g, err = readPart(ctx, t, o, progress, "ps")
	}
	if err == nil && jobs {
		err = addJobs(ctx, t, rows, &g)
	}
	return rows, g, err
}

// readPart reads the rows that are wanted of a table of processes in cluster/.
func readPart(ctx context.Context, t *tree, o *psOptions, p *progress, names ...string) (rows []*report.Process, g gaps, err error) {
	h, err := openPS(ctx, t, names...)
	if err != nil {
		return nil, g, err
	}
	defer h.Close()
	rows, g, err = readPS(&handleReader{ctx: ctx, h: h, wait: t.Wait()}, o, p)
	return rows, g, t.Explain(err)
}

// fillIn asks for what rows and the remarks behind them do not tell: how many nodes there
// are, where some are missing, whether there are any, where there is no row, and of an
// older server, which makes no remarks, how they are.
func fillIn(ctx context.Context, t *tree, g *gaps, rows int) (total int, err error) {
	missing := len(g.about(report.Missing)) > 0
	if !missing && rows > 0 && t.Remarks {
		return 0, nil
	}
	nodes, err := t.Nodes(ctx)
	switch {
	case err == nil:
		g.blind = len(nodes) == 0 && !missing
		if !t.Remarks {
			g.join(nodesGaps(nodes))
		}
		return len(nodes), nil
	case rows > 0 && t.Remarks:
		return 0, nil // then what is missing is said without
	}
	return 0, err
}

// hiding are the gaps that a process which was asked for may be in, where it is not among
// the rows. Old rows are one, too: it may have begun since.
func (o *psOptions) hiding(g gaps) gaps {
	if len(o.wanted) == 0 || slices.ContainsFunc(o.wanted, func(id gpid.ID) bool { return id.Node == "" }) {
		return g
	}
	return g.of(func(node string) bool {
		return slices.ContainsFunc(o.wanted, func(id gpid.ID) bool { return string(id.Node) == node })
	})
}

// wantsJob reports whether the jobs are needed.
func wantsJob(columns []report.ProcessColumn, keys []psKey) bool {
	isJob := func(c report.ProcessColumn) bool { return c.Name == report.JobColumn }
	return slices.ContainsFunc(columns, isJob) || slices.ContainsFunc(keys, func(k psKey) bool { return isJob(k.ProcessColumn) })
}

// addJobs adds the job of each process.
func addJobs(ctx context.Context, t *tree, rows []*report.Process, g *gaps) error {
	text, err := t.Read(ctx, "cluster", "jobs")
	if err != nil {
		return err
	}
	jobs, remarks, err := report.ParseJobs(text)
	if err != nil {
		return err
	}
	g.join(gaps{remarks: remarks})
	of := make(map[gpid.GPID]string, len(jobs))
	for _, j := range jobs {
		of[j.GPID] = j.Job
	}
	for _, p := range rows {
		p.Job = of[p.GPID]
	}
	return nil
}

// readPS reads the lines of cluster/ps that are wanted, and what it lacks.
func readPS(table io.Reader, o *psOptions, progress *progress) (rows []*report.Process, g gaps, err error) {
	g.remarks, err = report.ReadProcesses(table, func(p report.Process) {
		progress.saw(p.Node)
		if (len(o.owners) == 0 || slices.Contains(o.owners, p.User)) && o.wants(&p) {
			rows = append(rows, &p)
		}
	})
	if err != nil {
		return nil, gaps{}, err
	}
	return rows, g, nil
}
