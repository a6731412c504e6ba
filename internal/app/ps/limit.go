package ps

import (
	"container/heap"
	"slices"

	"github.com/aggrfs/aggrfs/pkg/aggregate/report"
)

// A selection takes rows as they come, and keeps those that come first in the order of its
// keys, at most limit of them; 0 is all. Where that is few of very many, all others are given
// up at once and never sorted.
type selection struct {
	keys  []key
	limit int
	rows  []numbered // a heap once there are limit: the one that comes last is at its top
	count int        // of rows that were taken
}

// A numbered row is the nth that came: rows that are equal by the keys stay in that order.
type numbered struct {
	*report.Process
	n int
}

// take takes a row.
func (s *selection) take(p *report.Process) {
	row := numbered{p, s.count}
	s.count++
	switch {
	case s.limit == 0 || len(s.rows) < s.limit:
		s.rows = append(s.rows, row)
		if len(s.rows) == s.limit {
			heap.Init(s)
		}
	case s.before(row, s.rows[0]):
		s.rows[0] = row
		heap.Fix(s, 0)
	}
}

// all are the rows that it has: in the order of the keys if there is a limit, and as they came
// if there is none.
func (s *selection) all() []*report.Process {
	if s.limit > 0 {
		slices.SortFunc(s.rows, func(x, y numbered) int {
			if s.before(x, y) {
				return -1
			}
			return 1 // no two are equal
		})
	}
	rows := make([]*report.Process, len(s.rows))
	for i, row := range s.rows {
		rows[i] = row.Process
	}
	return rows
}

func (s *selection) before(x, y numbered) bool {
	if c := compare(x.Process, y.Process, s.keys); c != 0 {
		return c < 0
	}
	return x.n < y.n
}

// Len implements heap.Interface, as do the four below.
func (s *selection) Len() int           { return len(s.rows) }
func (s *selection) Less(i, j int) bool { return s.before(s.rows[j], s.rows[i]) }
func (s *selection) Swap(i, j int)      { s.rows[i], s.rows[j] = s.rows[j], s.rows[i] }
func (s *selection) Push(any)           {}
func (s *selection) Pop() any           { return nil }
