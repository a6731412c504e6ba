package ps

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/report"
)

// Kernel threads are kthreadd and its children, on each node by itself; what has its number or its
// name and is another program is none.
func TestKernelThreads(t *testing.T) {
	var got []string
	k := make(kernels)
	for _, row := range strings.Split(`1 0 8 init
2 0 0 [kthreadd]
3 2 0 [rcu_gp]
700 1 8 [kthreadd]
701 700 8 child of a liar
10000001 0 8 init
10000002 10000001 8 [kthreadd]
10000003 10000002 8 its child
20000002 0 0 [kthreadd]
20000009 20000002 0 [kworker/0:1]
20000010 2 0 of nobody`, "\n") {
		var p report.Process
		var command string
		if _, err := fmt.Sscanf(row, "%d %d %d", &p.GPID, &p.PPID, &p.RSS); err != nil {
			t.Fatal(err)
		}
		command = strings.SplitN(row, " ", 4)[3]
		p.PID, p.Command = gpid.PID(p.GPID%gpid.Stride), []byte(command)
		if !k.thread(&p) {
			got = append(got, p.GPID.String())
		}
	}
	if want := strings.Fields("1 700 701 10000001 10000002 10000003"); !slices.Equal(got, want) {
		t.Errorf("%v are no kernel threads, want %v", got, want)
	}
}
