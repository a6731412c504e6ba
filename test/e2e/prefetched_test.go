package e2e

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aggrfs/aggrfs/test/cluster"
)

// With --prefetched the tools show what they show without, and what sweeps do not
// bring does not exist.
func TestPrefetched(t *testing.T) {
	s := newSite(t, cluster.Options{Nodes: 2}, "")
	run := func(flags []string, argv ...string) (string, error) {
		args := append(append([]string{"exec", "--server", s.server}, flags...), "--")
		return output(exec.Command(filepath.Join(bin, "aggrfs"), append(args, argv...)...))
	}
	rows := func(flags []string, argv ...string) (all []string) {
		t.Helper()
		out, err := run(append([]string{"--nodes", "n[1-2]"}, flags...), argv...)
		if err != nil {
			t.Fatalf("%v: %v", argv, err)
		}
		for line := range strings.Lines(out) {
			all = append(all, strings.TrimSpace(line))
		}
		slices.Sort(all)
		return all
	}
	fast := []string{"--prefetched"}
	for _, argv := range [][]string{
		{"ps", "-eo", "pid,ppid,pgid,sid,tty,ni,uid,gid,euser,lstart,args"},
		{"ps", "-eo", "pid,comm,nlwp,stat"},
		{"pgrep", "-a", "."},
		{"pgrep", "-f", "sleep"},
		{"pgrep", "-u", "1001"},
	} {
		pid := func(row string) string { return strings.Fields(row)[0] }
		n := s.sameRows(strings.Join(argv, " "), pid, func() []string { return rows(nil, argv...) }, func() []string { return rows(fast, argv...) })
		if n < 6 {
			t.Errorf("%v: only %d rows", argv, n)
		}
	}
	out, err := run(fast, "top", "-b", "-n1", "-w", "200")
	if err != nil || !strings.Contains(out, "10000001") || !strings.Contains(out, "solver") {
		t.Errorf("top: %v\n%s", err, out)
	}
	// It is one process after another that is seen, and they come and go.
	n := s.cluster.Nodes[0]
	script := `read go; ps -eo args | grep -c "[s]leep 424242"; cat /proc/10000001/environ; ls /proc/10000001; ls -d /proc/nodes`
	cmd := exec.Command(filepath.Join(bin, "aggrfs"), "exec", "--server", s.server, "--prefetched", "--nodes", "n1", "--", "sh", "-c", script)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan string, 1)
	go func() {
		out, _ := cmd.CombinedOutput()
		done <- string(out)
	}()
	if _, err := n.Spawn(cluster.Process{Argv: []string{"sleep", "424242"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := in.Write([]byte("go\n")); err != nil {
		t.Fatal(err)
	}
	text := <-done
	for _, want := range []string{"\n1\n", "environ: No such file", "cmdline\nstat\nstatm\nstatus\n", "'/proc/nodes': No such file"} {
		if !strings.Contains("\n"+text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}

	for _, args := range [][]string{{"mount", "--prefetched", "--allow-other", "/mnt"}, {"mount", "--prefetched", "--type", "9p", "/mnt"}} {
		if out, err := output(exec.Command(filepath.Join(bin, "aggrfs"), args...)); err == nil {
			t.Errorf("%v: %s", args, out)
		}
	}
}
