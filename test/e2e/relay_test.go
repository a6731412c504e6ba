package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aggrfs/aggrfs/test/cluster"
)

// A front end whose nodes are behind another front end shows what those show, under
// gpids of its own.
func TestBehind(t *testing.T) {
	s := newSite(t, cluster.Options{Nodes: 2}, "")
	top := filepath.Join(t.TempDir(), "top.yaml")
	text := fmt.Sprintf("version: 1\nhead: top\ntimeouts: {connect: 50s, read: 50s, sweep: 50s}\nstate: %s\nnodes:\n  - {nodes: \"n[1-2]\", kind: aggrfs, address: %q}\n",
		filepath.Join(t.TempDir(), "gpids.json"), s.server)
	if err := os.WriteFile(top, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(argv ...string) string {
		t.Helper()
		out, err := output(exec.Command(filepath.Join(bin, "aggrfs"), argv...))
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	got := run("exec", "--config", top, "--nodes", "n[1-2]", "--", "ps", "-eo", "pid=,args=")
	for i, n := range s.cluster.Nodes {
		compared := 0
		for line := range strings.Lines(s.onNode(n, "ps", "-eo", "pid=,args=")) {
			f := strings.Fields(line)
			if strings.Contains(line, "ps -eo") || strings.Contains(line, "nasty") {
				continue
			}
			compared++
			want := fmt.Sprintf("%d%07s %s", i+1, f[0], strings.Join(f[1:], " "))
			if !strings.Contains(got, want) {
				t.Errorf("%q is not in\n%s", want, got)
			}
		}
		if compared < 5 {
			t.Errorf("only %d processes on %s", compared, n.Name)
		}
		pid, err := n.Spawn(cluster.Process{Argv: []string{"sleep", "424242"}})
		if err != nil {
			t.Fatal(err)
		}
		if out := run("exec", "--config", top, "--", "cat", fmt.Sprintf("/proc/%d%07d/cgroup", i+1, pid)); strings.Count(out, n.Name+".slice") != strings.Count(out, "\n") {
			t.Errorf("cgroup of a process, of which each path is to begin with %s once:\n%s", n.Name, out)
		}
		if out := run("exec", "--config", top, "--", "sh", "-c", fmt.Sprintf("cat /proc/%d%07d/environ | wc -c; readlink /proc/%[1]d%07[2]d/exe; cat /proc/nodes/%s/sys/kernel/hostname", i+1, pid, n.Name)); !strings.HasSuffix(out, "\n"+n.Name+"\n") || !strings.Contains(out, "sleep") {
			t.Errorf("files of a process are %q", out)
		}
	}
	// A node that dies below is missed above.
	if err := s.cluster.Nodes[0].KillLeaf(); err != nil {
		t.Fatal(err)
	}
	s.eventually("the node is down", func() bool {
		out, err := s.aggrfs("nodes")
		return err == nil && strings.Contains(out, "n1") && strings.Contains(out, " down ")
	})
	if out, err := output(exec.Command(filepath.Join(bin, "aggrfs"), "ps", "--config", top, "-o", "node")); err == nil || !strings.Contains(err.Error(), "no answer from 1 of 3 nodes") || !strings.Contains(out, "n2") || strings.Contains(out, "n1") {
		t.Errorf("ps with a dead node: %v\n%s", err, out)
	}
}
