package ps

import (
	"context"
	"errors"
	"syscall"
	"time"

	"github.com/aggrfs/aggrfs/internal/app/client"
	"github.com/aggrfs/aggrfs/internal/app/gaps"
	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/report"
)

// An otherTable has columns that cluster/ps has not. It is read only if one of them is wanted.
type otherTable struct {
	from report.Source
	add  func(q *query, ctx context.Context, t *client.Tree, rows []*report.Process, g *gaps.Gaps) error // to all rows
}

var otherTables = []otherTable{
	{report.FromCgroups, addPlaces}, {report.FromDetails, addDetails}, {report.FromMemory, addMemory}, {report.FromRates, addPercents},
}

// sinceStart is what is above the column %CPU where it is since each process's start.
const sinceStart = "%CPU*"

// addPercents adds what share of a processor each process uses: over the interval of the server's
// samples or, where there is none yet, since its start, as the column's title says then.
func addPercents(q *query, ctx context.Context, t *client.Tree, rows []*report.Process, g *gaps.Gaps) error {
	text, err := t.Read(ctx, "cluster", "rates")
	var rates map[gpid.GPID]float64
	var interval time.Duration
	var remarks []report.Remark
	switch {
	case errors.Is(err, syscall.ENOENT): // of an older server
	case err != nil:
		return err
	default:
		if rates, interval, remarks, err = report.ParseRates(text); err != nil {
			return err
		}
	}
	g.Join(gaps.Gaps{Remarks: remarks})
	if interval == 0 {
		for i := range q.columns {
			if q.columns[i].Name == report.PercentColumn {
				q.columns[i].Title = sinceStart
			}
		}
	}
	unknown := make(map[string]bool) // nodes
	for _, r := range remarks {
		unknown[r.Node] = unknown[r.Node] || r.Kind == report.Missing
	}
	now := time.Now()
	for _, p := range rows {
		switch lived := now.Sub(p.Start).Seconds(); {
		case interval > 0 && !unknown[p.Node]:
			p.Percent = new(rates[p.GPID])
		case interval == 0 && lived > 0:
			p.Percent = new(float64(p.CPU) / lived)
		}
	}
	return nil
}

// addPlaces adds what each process is part of.
func addPlaces(_ *query, ctx context.Context, t *client.Tree, rows []*report.Process, g *gaps.Gaps) error {
	text, err := t.Read(ctx, "cluster", "cgroups")
	if errors.Is(err, syscall.ENOENT) { // an older server has that in another place
		text, err = t.Read(ctx, "cluster", "jobs")
	}
	if err != nil {
		return err
	}
	places, remarks, err := report.ParseJobs(text)
	if err != nil {
		return err
	}
	g.Join(gaps.Gaps{Remarks: remarks})
	of := make(map[gpid.GPID]*report.Job, len(places))
	for i := range places {
		of[places[i].GPID] = &places[i]
	}
	for _, p := range rows {
		p.Place = of[p.GPID]
	}
	return nil
}

// addDetails adds what cluster/ps does not have of stat files.
func addDetails(_ *query, ctx context.Context, t *client.Tree, rows []*report.Process, g *gaps.Gaps) error {
	text, err := t.Read(ctx, "cluster", "details")
	if errors.Is(err, syscall.ENOENT) {
		return nil // of an older server: they are not known
	}
	if err != nil {
		return err
	}
	details, remarks, err := report.ParseDetails(text)
	if err != nil {
		return err
	}
	g.Join(gaps.Gaps{Remarks: remarks})
	of := make(map[gpid.GPID]*report.Detail, len(details))
	for i := range details {
		of[details[i].GPID] = &details[i]
	}
	for _, p := range rows {
		p.Detail = of[p.GPID]
	}
	return nil
}

// addMemory adds how much memory the nodes have.
func addMemory(_ *query, ctx context.Context, t *client.Tree, rows []*report.Process, g *gaps.Gaps) error {
	text, err := t.Read(ctx, "cluster", "mem")
	if errors.Is(err, syscall.ENOENT) {
		return nil
	}
	if err != nil {
		return err
	}
	nodes, remarks, err := report.ParseTable[report.Memory]("cluster/mem", text)
	if err != nil {
		return err
	}
	g.Join(gaps.Gaps{Remarks: remarks})
	of := make(map[string]int64, len(nodes))
	for _, n := range nodes {
		if n.Total != nil {
			of[n.Node] = *n.Total
		}
	}
	for _, p := range rows {
		p.Memory = of[p.Node]
	}
	return nil
}
