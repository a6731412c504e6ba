package e2e

import (
	"bufio"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aggrfs/aggrfs/test/cluster"
)

// psutilLoop looks at all processes again and again, as a monitoring agent does, and says
// after each round how many there are of node 1, until its input ends. No error but those
// that psutil has names for ends it.
const psutilLoop = `
import sys, psutil
psutil.PROCFS_PATH = sys.argv[1]
born = {}
for line in sys.stdin:
    count = 0
    for p in psutil.process_iter(["name", "status", "cmdline", "ppid", "uids", "cpu_times", "memory_info", "create_time", "num_threads"]):
        if p.pid // 10000000 == 1:
            count += 1
            assert born.setdefault(p.pid, p.info["create_time"]) == p.info["create_time"]
    print(count, flush=True)
`

// psutil goes on while a node stops, while its rows are shown as old and after they have been
// left out, and sees them again when the node goes on.
func TestPsutilWhileANodeStops(t *testing.T) {
	s := newSite(t, cluster.Options{Nodes: 1}, "timeouts: {read: 1s, connect: 1s}\n")
	n, dir := s.cluster.Nodes[0], s.mount()
	cmd := exec.Command("/usr/bin/python3", "-c", psutilLoop, dir)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("psutil: %v\n%s", err, &stderr)
		}
	}()
	answers := bufio.NewScanner(out)
	round := func() string {
		t.Helper()
		if _, err := in.Write([]byte("\n")); err != nil || !answers.Scan() {
			t.Fatalf("psutil has ended: %v", err)
		}
		return answers.Text()
	}
	there := round()
	if there == "0" {
		t.Fatal("no processes of the node at first")
	}
	if err := n.Pause(); err != nil {
		t.Fatal(err)
	}
	if now := round(); now != there {
		t.Errorf("right after the node has stopped there are %s processes of it, and were %s", now, there)
	}
	s.eventually("its rows are left out", func() bool { return round() == "0" })
	if err := n.Resume(); err != nil {
		t.Fatal(err)
	}
	s.eventually("its rows are back", func() bool { return round() == there })
}

// cluster/ps and cluster/nodes say what is missing of a node that has been killed, and
// that what is shown is old while it is.
func TestRemarks(t *testing.T) {
	s := newSite(t, cluster.Options{Nodes: 2}, "timeouts: {read: 1s, connect: 1s}\n")
	dir := s.mount()
	table := func() string {
		t.Helper()
		out, err := output(exec.Command("cat", filepath.Join(dir, "cluster", "ps")))
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	if text := table(); strings.Contains(text, "\n#") || !strings.Contains(text, "\nn2 ") {
		t.Fatalf("while all is well:\n%s", text)
	}
	if err := s.cluster.Nodes[1].KillLeaf(); err != nil {
		t.Fatal(err)
	}
	s.eventually("its rows are said to be old", func() bool {
		text := table()
		return strings.Contains(text, "\n# stale n2 ") && strings.Contains(text, "\nn2 ")
	})
	s.eventually("it is said to be missing", func() bool {
		text := table()
		return strings.Contains(text, "\n# missing n2 down: ") && !strings.Contains(text, "\nn2 ") && strings.Contains(text, "\nn1 ")
	})
	if err := s.cluster.Nodes[1].StartLeaf(); err != nil {
		t.Fatal(err)
	}
	s.eventually("nothing is missing", func() bool {
		text := table()
		return !strings.Contains(text, "\n#") && strings.Contains(text, "\nn2 ")
	})
}
