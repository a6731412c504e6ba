package sampler

import (
	"slices"
	"time"

	"github.com/aggrfs/aggrfs/pkg/aggregate/proctable"
	"github.com/aggrfs/aggrfs/pkg/snapshot"
)

// A Reading is what is known of one node.
type Reading struct {
	Node *proctable.Node
	Err  error         // why nothing is
	Age  time.Duration // how old it is, since the node did not answer in time; 0 is that it did

	// Now are the node's figures, and Before those that rates are taken against; without Figures
	// there are none.
	Now, Before proctable.NodeFigures
	Procs       *Procs // nil where they were not wanted
	every       time.Duration
}

func monotonic(f proctable.NodeFigures) int64 {
	n, _ := f.Value(snapshot.ClockFigures, "monotonic")
	return n
}

// Over is the time between the figures, by the node's clock; 0 is that there is one sample alone.
func (r *Reading) Over() time.Duration {
	if r.Now.Figures == nil || r.Before.Figures == nil {
		return 0
	}
	return time.Duration(monotonic(r.Now) - monotonic(r.Before))
}

// Offset is how much the node's wall clock is ahead of the front end's, to within the time that an
// answer takes.
func (r *Reading) Offset() (d time.Duration, ok bool) {
	n, ok := r.Now.Value(snapshot.ClockFigures, "real")
	return time.Duration(n - r.Now.At.UnixNano()), ok
}

// Value is a figure of a group of one row.
func (r *Reading) Value(group, field string) (int64, bool) { return r.Now.Value(group, field) }

// Rate is by how much a counter of a group of one row has risen in a second.
func (r *Reading) Rate(group, field string) (float64, bool) { return r.RowRate(group, "", field) }

// RowRate is Rate of the row of that name.
func (r *Reading) RowRate(group, row, field string) (float64, bool) {
	grown, ok := r.Grown(group, row, field)
	if over := r.Over(); ok && over > 0 {
		return float64(grown) / over.Seconds(), true
	}
	return 0, false
}

// Grown is by how much a counter has risen between the two samples; not ok where it was not there
// in both, or has fallen.
func (r *Reading) Grown(group, row, field string) (int64, bool) {
	now, before := r.Now.Group(group), r.Before.Group(group)
	if now == nil || before == nil {
		return 0, false
	}
	a, okA := now.Value(slices.Index(now.Rows, row), field)
	b, okB := before.Value(slices.Index(before.Rows, row), field)
	return a - b, okA && okB && a >= b
}

// Rates are those of the processes.
func (r *Reading) Rates() *Rates { return r.Procs.Rates(r.every) }
