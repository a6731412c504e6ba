package tree

import (
	"fmt"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/pkg/aggregate/proctable"
	"github.com/aggrfs/aggrfs/pkg/aggregate/upstream"
)

// Who was given a file is remembered for as long as they read sums, and for no more than
// so many of them.
func TestSumReaders(t *testing.T) {
	var s sumReaders
	node := func(index int) *proctable.Node {
		return &proctable.Node{Node: &upstream.Node{Config: upstream.Config{Index: index}}}
	}
	now := time.Unix(1e9, 0)
	one, two := summed{node(1), "stat"}, summed{node(5000), "stat"}
	s.note("ann", one, now)
	for _, tc := range []struct {
		reader string
		file   summed
		want   bool
	}{{"ann", one, true}, {"ann", two, false}, {"ann", summed{one.n, "vmstat"}, false}, {"bob", one, false}} {
		if got := s.has(tc.reader, tc.file, now); got != tc.want {
			t.Errorf("%s has read %s of node %d: %v", tc.reader, tc.file.name, tc.file.n.Index, got)
		}
	}
	s.note("ann", two, now)
	s.forget("ann", one)
	if s.has("ann", one, now) || !s.has("ann", two, now) {
		t.Error("what was refused is not what is forgotten")
	}
	now = now.Add(sumReaderFor)
	s.tidy(now)
	if !s.has("ann", two, now) {
		t.Error("forgotten too early")
	}
	for i := range 2 * maxSumReaders {
		now = now.Add(time.Second)
		s.note(fmt.Sprint(i), one, now)
		if !s.has("ann", two, now) {
			t.Fatal("one who reads all the time is forgotten")
		}
	}
	if len(s.all) > maxSumReaders {
		t.Errorf("%d readers", len(s.all))
	}
	now = now.Add(sumReaderFor + 1)
	if s.tidy(now); len(s.all) != 0 {
		t.Errorf("%d readers after a day", len(s.all))
	}
}
