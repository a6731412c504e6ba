package monitor

import (
	"fmt"
	"testing"
	"time"
	"unicode/utf8"
)

// However many names there are, and however they change, there are no more than so many, no counter of a
// name falls while it has its place, and no processor time is lost.
func TestRanking(t *testing.T) {
	var r ranking
	now := time.Unix(1e9, 0)
	last := map[string]float64{}
	for round := range 40 {
		now = now.Add(time.Minute)
		u := make(uses)
		for i := range 200 {
			u.add(label(fmt.Sprintf("u%d\xff\n", round/10*1000+i)), time.Duration(i)*time.Second, 1)
		}
		u.add(Other, time.Second, 1)
		r.look(now, u)
		all, procs := r.measures(), 0
		if len(all) != MaxNames+1 || all[MaxNames].Name != Other {
			t.Fatalf("round %d: %d names", round, len(all))
		}
		seen := map[string]float64{}
		for _, one := range all {
			if _, twice := seen[one.Name]; twice || !utf8.ValidString(one.Name) || one.CPU < last[one.Name] {
				t.Errorf("round %d: %+v, and it had %v", round, one, last[one.Name])
			}
			seen[one.Name] = one.CPU
			procs += one.Procs
		}
		if procs != 201 {
			t.Errorf("round %d: %d processes", round, procs)
		}
		last = seen
	}
}

// A counter never falls: a reboot begins anew, and a fall of some ticks is none.
func TestCounter(t *testing.T) {
	var c counter
	for i, one := range []struct{ now, sum int64 }{{1000, 0}, {1500, 500}, {1490, 500}, {1510, 510}, {3, 510}, {13, 520}, {1<<63 - 1, 1<<63 - 1}, {0, 1<<63 - 1}, {9, 1<<63 - 1}} {
		if c.look(one.now); c.sum != one.sum {
			t.Errorf("%d: at %d it is %d, want %d", i, one.now, c.sum, one.sum)
		}
	}
}
