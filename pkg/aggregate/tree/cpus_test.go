package tree

import (
	"slices"
	"testing"

	"github.com/aggrfs/aggrfs/pkg/aggregate/proctable"
	"github.com/aggrfs/aggrfs/pkg/aggregate/upstream"
)

// The lists and masks are as the kernel prints them.
func TestCPULists(t *testing.T) {
	for _, tc := range []struct {
		indexes []int
		want    []string // kernel_max, offline, online, possible, present
	}{
		{nil, []string{"0", "", "", "", ""}},
		{[]int{0}, []string{"0", "", "0", "0", "0"}},
		{[]int{0, 1, 2, 5}, []string{"5", "3-4", "0-2,5", "0-5", "0-5"}},
		{[]int{2, 4}, []string{"4", "0-1,3", "2,4", "0-4", "0-4"}},
	} {
		var c cpus
		for _, index := range tc.indexes {
			c = append(c, &proctable.Node{Node: &upstream.Node{Config: upstream.Config{Index: index}}})
		}
		var got []string
		for _, name := range []string{"kernel_max", "offline", "online", "possible", "present"} {
			got = append(got, cpuLists[name](c))
		}
		if !slices.Equal(got, tc.want) {
			t.Errorf("%v: %q, want %q", tc.indexes, got, tc.want)
		}
	}
	for _, tc := range []struct {
		cpu, highest int
		want         string
	}{{0, 0, "00000001"}, {3, 31, "00000008"}, {3, 32, "00000000,00000008"}, {63, 70, "00000000,80000000,00000000"}} {
		if got := mask(tc.cpu, tc.highest); got != tc.want {
			t.Errorf("CPU %d of %d: %s, want %s", tc.cpu, tc.highest, got, tc.want)
		}
	}
}
