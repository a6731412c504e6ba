package cachepolicy

import (
	"slices"
	"testing"
	"time"
)

func TestSweep(t *testing.T) {
	p := Sweep(3 * time.Second)
	got := slices.Sorted(slices.Values(p.Prefetch()))
	if want := []string{"cmdline", "stat", "statm", "status"}; !slices.Equal(got, want) || p.Table() != 3*time.Second {
		t.Errorf("a sweep brings %v for %v", got, p.Table())
	}
}
