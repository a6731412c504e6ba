package main

import (
	"strings"
	"testing"

	"github.com/aggrfs/aggrfs/internal/app/exit"
	"github.com/aggrfs/aggrfs/test/fakefront"
)

// What is not known has a status of its own, and never that of what is not there.
func TestNotKnown(t *testing.T) {
	const nodes = fakefront.NodesHead + "n1 1 up - 5 0 -\nn2 2 up 3.1s 5 0 -\n"
	gone := fakefront.PSHead + fakefront.PSRow("n1", "70", "10000070", "root")
	for _, tc := range []struct {
		name, nodes, ps string
		status          int
		says            string
		line            string
	}{
		{"old rows", nodes, gone + "# stale n2 3.1s\n", 3, "not known whether there is such a process: n2 did not answer in time: its rows are 3.1 s old", "ps -p 20000001"},
		{"old rows", nodes, gone + "# stale n2 3.1s\n", 3, "its rows are 3.1 s old", "ps -p n2:9"},
		{"old rows of another", nodes, gone + "# stale n2 3.1s\n", 1, "no such process", "ps -p n1:9"},
		{"old rows", nodes, gone, 3, "not known where n2:9 is: n2 did not answer in time", "where n2:9"},
		{"old rows of another", nodes, gone, 1, "no process n1:9", "where n1:9"},
		{"no node", fakefront.TwoNodes, gone, 2, "-p: n99 is not in the cluster, or not in your view, which has n[1-2]", "ps -p n1:70 -p n99:1"},
		{"a node nearly", fakefront.TwoNodes, gone, 2, "(did you mean n2?)", "ps -p n02:1"},
		{"no node", fakefront.TwoNodes, gone, 2, "n99:1: n99 is not in the cluster, or not in your view, which has n[1-2]", "where n99:1"},
		{"no node", fakefront.TwoNodes, gone, 2, "n99 is not in the cluster", "where --json n99:1"},
		{"no nodes at all", fakefront.NodesHead, fakefront.PSHead, 3, "you see no nodes", "ps"},
		{"no nodes at all", fakefront.NodesHead, fakefront.PSHead, 3, "you see no nodes", "ps --json"},
		{"no nodes at all", fakefront.NodesHead, fakefront.PSHead, 3, "you see no nodes", "ps -u 4242"},
		{"no nodes at all", fakefront.NodesHead, fakefront.PSHead, 3, "you see no nodes", "ps -p n1:1"},
		{"no nodes at all", fakefront.NodesHead, fakefront.PSHead, 3, "you see no nodes", "nodes"},
		{"no nodes at all", fakefront.NodesHead, fakefront.PSHead, 3, "you see no nodes", "nodes --json"},
		{"no nodes at all", fakefront.NodesHead, fakefront.PSHead, 3, "you see no nodes", "nodes --strict"},
		{"no nodes at all", fakefront.NodesHead, fakefront.PSHead, 3, "you see no nodes", "where n1:1"},
		{"all is well", fakefront.TwoNodes, gone, 0, "", "ps -p n1:70"},
		{"all is well", fakefront.TwoNodes, gone, 0, "", "nodes"},
	} {
		t.Run(tc.name+"/"+tc.line, func(t *testing.T) {
			fakeFront(t, map[string]string{"nodes": tc.nodes, "ps": tc.ps})
			r := runLine(t, strings.Fields(tc.line)...)
			if r.status != tc.status || !strings.Contains(r.stderr, tc.says) || tc.says == "" && r.stderr != "" || tc.status == exit.Usage && r.out != "" {
				t.Errorf("%+v", r)
			}
			if strings.Contains(tc.line, "--json") && tc.status == exit.Unknown && !strings.Contains(r.out, `"no_nodes":true`) {
				t.Errorf("%s", r.out)
			}
			if strings.Count(r.stderr, "you see no nodes") > 1 {
				t.Errorf("it says twice: %s", r.stderr)
			}
		})
	}
}
