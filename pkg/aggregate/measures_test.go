package aggregate

import (
	"testing"
	"time"
)

// A meter counts what it has seen nodes and processes use, and nothing of it falls when a process ends,
// and when a node starts again.
func TestMeterNeverFalls(t *testing.T) {
	head, l := newFakeLeaf(), measuredLeaf()
	for _, pid := range []int{10, 11} {
		l.add(pid, 1001, 1, 1, 1)
		l.use(pid, 100)
	}
	c := startCluster(t, Config{
		Head: NodeConfig{Name: "head", Dial: head.dial}, Nodes: []NodeConfig{{Name: "n1", Dial: l.dial}}, Policy: oftenPolicy(t),
	})
	c.Ready(t.Context())
	m := c.NewMeter(true)
	last := map[string]float64{}
	// look looks until the counters are so high.
	look := func(what string, user, command, node float64) {
		t.Helper()
		eventually(t, what, func() bool {
			seen := map[string]float64{}
			all := m.Look(t.Context(), 20*time.Millisecond)
			for _, n := range all.Nodes {
				seen["node "+n.Name] = n.CPU[0]
			}
			for _, one := range all.Users {
				seen["user "+one.Name] = one.CPU
			}
			for _, one := range all.Commands {
				seen["command "+one.Name] = one.CPU
			}
			for k, was := range last {
				if now, there := seen[k]; !there || now < was {
					t.Errorf("%s: %s was %v and is %v", what, k, was, now)
				}
			}
			last = seen
			total := 0.0
			for _, one := range all.Users {
				total += one.CPU
			}
			return total > user-0.001 && seen["command p10"] >= command && seen["node n1"] >= node
		})
	}
	look("at first", 0, 0, 0)
	if last["node n1"] != 0 || last["command p10"] != 0 {
		t.Errorf("what was before counts: %v", last)
	}
	l.use(10, 300)
	l.pass(8000)
	look("after 8 s", 2, 2, 3)
	if last["node n1"] != 3 || last["command p10"] != 2 {
		t.Errorf("after 8 s: %v", last)
	}
	l.change(func() { l.procs = l.procs[1:] }) // pid 10 ends
	l.pass(8100)
	look("after an end", 2, 2, 3)
	l.use(11, 10)
	l.pass(100)
	l.reboot("boot-2")
	look("after a reboot", 2.1, 2, 3) // what it has used since the boot
	l.use(11, 110)
	l.pass(4100)
	look("4 s later", 3.1, 2, 4.5)
}
