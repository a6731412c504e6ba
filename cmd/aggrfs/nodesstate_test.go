package main

import (
	"strings"
	"testing"

	"github.com/aggrfs/aggrfs/test/fakefront"
)

// --state shows the nodes in those states, and what is not known stays so.
func TestNodesState(t *testing.T) {
	fakeFront(t, map[string]string{"nodes": fakefront.NodesHead + "n1 1 up - 5 0 -\nn2 2 silent 3.1s 5 0 no answer\nn3 3 down - - 1 no  route\n"})
	for line, want := range map[string]string{
		"--state up":              "n1",
		"--state silent,down":     "n2 n3",
		"--state connecting":      "",
		"--state down --state up": "n1 n3",
		"--state silent --strict": "n2",
	} {
		r := runLine(t, append([]string{"nodes"}, strings.Fields(line)...)...)
		var names []string
		for _, row := range strings.Split(strings.TrimSpace(r.out), "\n")[1:] {
			names = append(names, strings.Fields(row)[0])
		}
		status := 0
		if strings.Contains(line, "--strict") {
			status = 3
		}
		if r.status != status || strings.Join(names, " ") != want {
			t.Errorf("nodes %s: %+v", line, r)
		}
	}
	if r := runLine(t, "nodes", "--state", "down"); !strings.HasSuffix(r.out, "no  route\n") {
		t.Errorf("%+v", r)
	}
	if r := runLine(t, "nodes", "--state", "down", "--json"); !strings.Contains(r.out, `"node":"n3"`) || strings.Contains(r.out, `"node":"n1"`) {
		t.Errorf("%+v", r)
	}
	if r := runLine(t, "nodes", "--state", "dwon"); r.status != 2 || !strings.Contains(r.stderr, "--state") {
		t.Errorf("%+v", r)
	}
}
