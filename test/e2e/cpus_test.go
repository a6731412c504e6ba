package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aggrfs/aggrfs/internal/nsexec"
	"github.com/aggrfs/aggrfs/pkg/vfs"
	"github.com/aggrfs/aggrfs/pkg/vfs/vfstest"
	"github.com/aggrfs/aggrfs/test/cluster"
	"github.com/aggrfs/aggrfs/test/wait"
)

// processorTicks are the lines cpu and cpuN of a stat file, by name.
func processorTicks(text string) map[string][]int {
	all := map[string][]int{}
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) > 5 && strings.HasPrefix(f[0], "cpu") {
			for _, word := range f[1:] {
				n, _ := strconv.Atoi(word)
				all[f[0]] = append(all[f[0]], n)
			}
		}
	}
	return all
}

// Below exec a node is one CPU, its mean one, for all who count CPUs or read their ticks.
func TestCPUs(t *testing.T) {
	s := newSite(t, cluster.Options{Nodes: 3}, "")
	n := s.cluster.Nodes[1]

	t.Run("ticks", func(t *testing.T) {
		s.t = t
		before := processorTicks(s.onNode(n, "cat", "/proc/stat"))
		got := processorTicks(s.onAll("cat", "/proc/stat"))
		after := processorTicks(s.onNode(n, "cat", "/proc/stat"))
		cpus := len(before) - 1
		if len(got) != 5 || got["cpu0"] == nil || got["cpu3"] == nil {
			t.Fatalf("stat has %v", got)
		}
		for i, ticks := range got["cpu2"] {
			if ticks < before["cpu"][i]/cpus-100 || ticks > after["cpu"][i]/cpus { // what is cached may be half a second old
				t.Errorf("column %d of the node's line is %d; %d CPUs of the node have %d to %d", i+1, ticks, cpus, before["cpu"][i], after["cpu"][i])
			}
			sum := got["cpu0"][i] + got["cpu1"][i] + ticks + got["cpu3"][i]
			if sum != got["cpu"][i] {
				t.Errorf("column %d is %d, the sum of the nodes' is %d", i+1, got["cpu"][i], sum)
			}
		}
	})

	counts := `cat /sys/devices/system/cpu/online; getconf _NPROCESSORS_ONLN; grep -c ^processor /proc/cpuinfo; lscpu -p=CPU | grep -v '#' | tr '\n' ' '; ` +
		`node -e 'console.log(os.cpus().length)'; /usr/bin/python3 -c 'import psutil; print(psutil.cpu_count(), psutil.cpu_count(logical=False), len(psutil.cpu_percent(percpu=True)))'; ` +
		`mpstat -P ALL 1 1 | awk '/^Average/ && $2 ~ /[0-9]/ {print $2}' | tr '\n' ' '`
	t.Run("counts", func(t *testing.T) {
		s.t = t
		if got, want := s.onAll("bash", "-c", counts), "0-3\n4\n4\n0 1 2 3 4\n4 4 4\n0 1 2 3 "; got != want {
			t.Errorf("programs count\n%s\nwant\n%s", got, want)
		}
		out, err := s.aggrfs("exec", "--nodes", "n[2-3]", "--", "bash", "-c", counts)
		if want := "2-3\n2\n2\n2 3 2\n2 2 2\n2 3 "; err != nil || out != want {
			t.Errorf("of two nodes programs count %v\n%s\nwant\n%s", err, out, want)
		}
		out, err = s.aggrfs("exec", "--prefetched", "--", "getconf", "_NPROCESSORS_ONLN")
		if err != nil || out != "4\n" {
			t.Errorf("--prefetched: %v, %q", err, out)
		}
	})

	t.Run("htop", func(t *testing.T) {
		s.t = t
		pid, err := n.Spawn(cluster.Process{UID: cluster.Alice, GID: cluster.Alice, Argv: []string{"sh", "-c", "while :; do :; done"}})
		if err != nil {
			t.Fatal(err)
		}
		defer n.Signal(pid, unix.SIGKILL)
		g := gpid(2, strconv.Itoa(pid))
		x := newTerminal(t, fmt.Sprintf("HOME=%s %s exec --server %s -- htop -d 20 -p %s", t.TempDir(), filepath.Join(bin, "aggrfs"), s.server, g))
		x.await("CPU% in htop", func(screen string) error {
			native := topRows(t, s.onNode(n, "top", "-b", "-d", "2", "-n", "2", "-p", strconv.Itoa(pid)))
			var want, got float64
			for line := range strings.Lines(native) {
				if f := strings.Fields(line); len(f) > 11 && f[0] == strconv.Itoa(pid) {
					want, _ = strconv.ParseFloat(f[8], 64)
				}
			}
			for line := range strings.Lines(x.screen()) {
				if f := strings.Fields(line); len(f) > 11 && f[0] == g {
					got, _ = strconv.ParseFloat(f[8], 64)
				}
			}
			if got < 0.7*want || got > 1.4*want || want == 0 {
				return fmt.Errorf("htop says %v %%, top on the node %v %%", got, want)
			}
			return nil
		})
		x.typeKeys("q")
		x.ended()
	})
}

// A user sees the same CPUs as root, with a user namespace and with the helper, and nothing stays
// mounted.
func TestUsersCPUs(t *testing.T) {
	s := newSite(t, cluster.Options{Nodes: 2}, "views: [{users: \"1001\", nodes: \"n[1-2]\"}]\n")
	alice := vfs.Identity{UID: cluster.Alice, GID: cluster.Alice}
	script := "cat /sys/devices/system/cpu/online && grep ^cpu /proc/stat | cut -d' ' -f1 | tr '\\n' ' '"
	want := "1-2\ncpu cpu1 cpu2 "
	if out, err := s.asUser(alice, "exec", "--server", s.server, "--", "sh", "-c", script); err != nil || out != want {
		t.Errorf("in a user namespace: %v, %q", err, out)
	}
	// What was left behind sees the machine's own again.
	left := filepath.Join(s.cluster.Dir, "left")
	if err := os.Mkdir(left, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(left, 0o777); err != nil {
		t.Fatal(err)
	}
	own, err := os.ReadFile("/sys/devices/system/cpu/online")
	if err != nil {
		t.Fatal(err)
	}
	behind := fmt.Sprintf("(cp /sys/devices/system/cpu/online %[1]s/below; while [ ! -e %[1]s/go ]; do sleep 0.1; done; until [ \"$(cat /sys/devices/system/cpu/online)\" = \"$(cat %[1]s/own)\" ]; do sleep 0.1; done; touch %[1]s/seen) >/dev/null 2>&1 & until [ -e %[1]s/below ]; do sleep 0.1; done", left)
	if err := os.WriteFile(filepath.Join(left, "own"), own, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := s.aggrfs("exec", "--", "sh", "-c", behind); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(left, "go"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	wait.Until(t, "what was left behind sees this machine's CPUs", func() bool { _, err := os.Stat(filepath.Join(left, "seen")); return err == nil })
	// An exec within an exec has its own, and the outer one has them again.
	inner := fmt.Sprintf("%s exec --no-control --server %s --nodes n1 -- cat /sys/devices/system/cpu/online; cat /sys/devices/system/cpu/online", filepath.Join(bin, "aggrfs"), s.server)
	if out, err := s.aggrfs("exec", "--", "sh", "-c", inner); err != nil || out != "1\n0-2\n" {
		t.Errorf("an exec in an exec: %v, %q", err, out)
	}
	helper := vfstest.BuildHelper(t, bin)
	defer os.Remove(helper)
	// tmpfiles.d makes it where the helper is installed; root's exec makes one that goes with it.
	wait.Until(t, nsexec.DefaultAside+" is there to stay", func() bool {
		if os.Mkdir(nsexec.DefaultAside, 0o755) == nil {
			t.Cleanup(func() { os.Remove(nsexec.DefaultAside) })
		}
		st, err := os.Stat(nsexec.DefaultAside)
		return err == nil && st.Mode().Perm() == 0o755
	})
	argv := s.asUserArgs(alice, "exec", "--server", s.server, "--", "sh", "-c", script)
	if out, err := exec.Command(argv[0], argv[1:]...).Output(); err != nil || string(out) != want {
		t.Errorf("with the helper: %v, %q", err, out)
	}

	// The helper can make no time namespace. The nodes are older than this machine, and exec says
	// that in one line; ps shows when their processes were started, for how long they run and how
	// much they use as ps on the node does.
	n := s.cluster.Nodes[1]
	argv = s.asUserArgs(alice, "exec", "--server", s.server, "--", "ps", "-u", "1001", "-o", "pid=,etimes=,cp=,lstart=")
	ps := exec.Command(argv[0], argv[1:]...)
	var stderr strings.Builder
	ps.Stderr = &stderr
	out, err := ps.Output()
	if said := stderr.String(); err != nil || strings.Count(said, "\n") != 1 || !strings.Contains(said, "time namespace") {
		t.Errorf("without a time namespace: %v, %q", err, said)
	}
	compared := 0
	for line := range strings.Lines(s.onNode(n, "ps", "-u", "1001", "-o", "pid=,etimes=,cp=,lstart=")) {
		want := strings.Fields(line)
		for line := range strings.Lines(string(out)) {
			got := strings.Fields(line)
			if got[0] != gpid(2, want[0]) {
				continue
			}
			compared++
			at := func(f []string) time.Time {
				at, err := time.ParseInLocation("Mon Jan 2 15:04:05 2006", strings.Join(f[3:], " "), time.Local)
				if err != nil {
					t.Error(err)
				}
				return at
			}
			if d := at(got).Sub(at(want)).Abs(); d > 2*time.Second {
				t.Errorf("%s was started at %s, on the node at %s", got[0], at(got), at(want))
			}
			if by := atoi(t, want[1]) - atoi(t, got[1]); by < -2 || by > 300 { // it was asked later
				t.Errorf("%s runs for %s s, on the node for %s s", got[0], got[1], want[1])
			}
			if cp := atoi(t, got[2]); cp > atoi(t, want[2])+200 {
				t.Errorf("%s uses %s thousandths of a CPU, on the node %s", got[0], got[2], want[2])
			}
		}
	}
	if compared < 3 {
		t.Errorf("%d processes were compared", compared)
	}
}

// Programs that count the CPUs by reading stat twice (libuv gives up by abort(3)) go on while a
// node stops and comes back, and what has stopped is not idle.
func TestCPUsOfMissingNode(t *testing.T) {
	s := newSite(t, cluster.Options{Nodes: 2}, "timeouts: {read: 1s, connect: 1s}\n")
	sick := s.cluster.Nodes[1]
	program := filepath.Join(t.TempDir(), "cpus.js")
	text := `const fs = require('fs');
function look() {
  const cpus = os.cpus(), n = cpus.length;
  if (n != 3) { console.log('there are', n); process.exit(1); }
  fs.writeFileSync(process.argv[2], JSON.stringify(cpus[2].times));
  if (!fs.existsSync(process.argv[3])) setTimeout(look, 5);
}
const os = require('os');
look();
`
	if err := os.WriteFile(program, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	times, end := filepath.Join(t.TempDir(), "times"), filepath.Join(t.TempDir(), "end")
	node := exec.Command(filepath.Join(bin, "aggrfs"), "exec", "--server", s.server, "--", "node", program, times, end)
	var out strings.Builder
	node.Stdout, node.Stderr = &out, &out
	if err := node.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- node.Wait() }()
	defer node.Process.Kill()
	state := func(want string) {
		t.Helper()
		s.eventually("n2 is "+want, func() bool {
			out, _ := s.aggrfs("nodes")
			return slices.ContainsFunc(strings.Split(out, "\n"), func(line string) bool {
				f := strings.Fields(line)
				return len(f) > 2 && f[0] == "n2" && f[2] == want
			})
		})
	}
	read := func() string { text, _ := os.ReadFile(times); return string(text) }
	s.eventually("the program reads", func() bool { return strings.Contains(read(), "idle") })
	if err := sick.KillLeaf(); err != nil {
		t.Fatal(err)
	}
	state("down")
	// No tick of it is counted from then on.
	last := ""
	s.eventuallyNil("the line of the node stands still", func() error {
		if now := read(); now == "" || now != last {
			last = now
			return errors.New("it moves")
		}
		return nil
	})
	if err := sick.StartLeaf(); err != nil {
		t.Fatal(err)
	}
	state("up")
	s.eventually("its line moves again", func() bool { now := read(); return now != "" && now != last })
	if err := os.WriteFile(end, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("node: %v\n%s", err, out.String())
		}
	case <-t.Context().Done():
	}
}
