package e2e

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/internal/control"
	"github.com/aggrfs/aggrfs/pkg/ninep"
	"github.com/aggrfs/aggrfs/pkg/vfs"
	"github.com/aggrfs/aggrfs/test/cluster"
)

var bobInAlices = vfs.Identity{UID: cluster.Bob, GID: cluster.Bob, Groups: []uint32{cluster.Alice}}

// as is the root of the tree for somebody, by 9P.
func (s *site) as(who vfs.Identity) vfs.Dir {
	s.t.Helper()
	conn, err := net.Dial("unix", strings.TrimPrefix(s.server, "unix:"))
	if err != nil {
		s.t.Fatal(err)
	}
	client, err := ninep.NewClient(s.t.Context(), conn, ninep.ClientConfig{})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { client.Close() })
	root, err := client.Attach(s.t.Context(), who, "")
	if err != nil {
		s.t.Fatal(err)
	}
	return root.(vfs.Dir)
}

// act has cluster/ctl carry out requests without numbers, and returns the answers in their order.
func (s *site) act(root vfs.Dir, requests ...string) []control.Answer {
	s.t.Helper()
	all, err := s.tryAct(root, requests...)
	if err != nil {
		s.t.Fatal(err)
	}
	return all
}

func (s *site) tryAct(root vfs.Dir, requests ...string) ([]control.Answer, error) {
	s.t.Helper()
	var batch []byte
	for i, r := range requests {
		batch = fmt.Appendf(batch, "%d %s\n", i, r)
	}
	text, err := writeRead(s.t.Context(), root, batch, "cluster", "ctl")
	if err != nil {
		return nil, err
	}
	all, err := control.ParseAnswers(text)
	if err != nil || len(all) != len(requests) {
		s.t.Fatalf("%d answers to %d requests, %v: %s", len(all), len(requests), err, text)
	}
	slices.SortFunc(all, func(a, b control.Answer) int { return int(a.ID) - int(b.ID) })
	return all, nil
}

// writeRead writes to a file, and reads what it answers.
func writeRead(ctx context.Context, root vfs.Dir, text []byte, path ...string) ([]byte, error) {
	n, _, err := vfs.WalkPath(ctx, root, path...)
	if err != nil {
		return nil, err
	}
	h, err := ninep.OpenRW(ctx, n)
	if err != nil {
		return nil, err
	}
	defer h.Close()
	if _, err := h.(vfs.Writer).WriteAt(ctx, text, 0); err != nil {
		return nil, err
	}
	return vfs.ReadAll(ctx, h, control.MaxAnswer)
}

// actNatively is the error of each action that somebody does on a node itself, by Python.
func (s *site) actNatively(n *cluster.Node, who vfs.Identity, acts []string) []syscall.Errno {
	s.t.Helper()
	const program = `
import os, sys
for line in sys.argv[1].split(";"):
    pid, verb, *args = line.split()
    pid = int(pid)
    try:
        if verb == "signal": os.kill(pid, int(args[0]))
        elif verb == "nice": os.setpriority(os.PRIO_PROCESS, pid, int(args[0]))
        elif verb == "get-nice": os.getpriority(os.PRIO_PROCESS, pid)
        elif verb == "affinity": os.sched_setaffinity(pid, [int(args[0])])
        elif verb == "getsid": os.getsid(pid)
        print(0)
    except OSError as e: print(e.errno)
`
	argv := []string{"python3", "-c", program, strings.Join(acts, ";")}
	if !who.IsRoot() {
		groups := []string{"--clear-groups"}
		if len(who.Groups) > 0 {
			groups = []string{"--groups", fmt.Sprint(who.Groups[0])}
		}
		argv = append(append([]string{"setpriv", "--reuid", fmt.Sprint(who.UID), "--regid", fmt.Sprint(who.GID)}, groups...), argv...)
	}
	var all []syscall.Errno
	for _, line := range strings.Fields(s.onNode(n, argv...)) {
		no, err := strconv.Atoi(line)
		if err != nil {
			s.t.Fatal(err)
		}
		all = append(all, syscall.Errno(no))
	}
	return all
}

const controlled = "control: all\nviews: [{users: [\"1001\", \"1002\"], nodes: all, processes: all, control: all}]\n"

// gpidOf is the global pid of a process of a node, as fixed numbering has it.
func gpidOf(node, pid int) int { return node*10_000_000 + pid }

// TestControl has each of several users act on processes of each kind, on one node natively and on
// the other by cluster/ctl: the same is done and refused.
func TestControl(t *testing.T) {
	s := newSite(t, cluster.Options{Nodes: 2, ProcsrvArgs: []string{"--control", "all"}}, controlled)
	spawn := func(who vfs.Identity) [2]int {
		var pids [2]int
		for i, n := range s.cluster.Nodes {
			pid, err := n.Spawn(cluster.Process{UID: who.UID, GID: who.GID, Argv: []string{"sleep", "500000"}})
			if err != nil {
				t.Fatal(err)
			}
			pids[i] = pid
		}
		return pids
	}
	leaves := [2]int{s.cluster.Nodes[0].LeafPID(), s.cluster.Nodes[1].LeafPID()}
	targets := []struct {
		kind string
		pids [2]int
	}{
		{"alice's", spawn(alice)}, {"bob's", spawn(bob)}, {"root's", spawn(vfs.Root)}, {"init", [2]int{1, 1}}, {"procsrv", leaves}, {"nobody", [2]int{4000000, 4000000}},
	}
	acts := []string{"signal 0", "get-nice", "getsid", "nice 5", "nice 1", "nice -3", "affinity 0", "affinity 999", "signal 65", "signal 18", "signal 19", "signal 15", "signal 9"}
	differences := 0
	for name, who := range map[string]vfs.Identity{"alice": alice, "bob": bob, "bob in alice's group": bobInAlices, "root": vfs.Root} {
		root := s.as(who)
		for _, target := range targets {
			var native, here []string
			for _, a := range acts {
				deadly := strings.HasPrefix(a, "signal 1") || a == "signal 9"
				if who.IsRoot() && deadly && (target.kind == "init" || target.kind == "procsrv") {
					continue // the node would end
				}
				native = append(native, fmt.Sprintf("%d %s", target.pids[0], a))
				here = append(here, fmt.Sprintf("%d %s", gpidOf(2, target.pids[1]), a))
			}
			want := s.actNatively(s.cluster.Nodes[0], who, native)
			for i, got := range s.act(root, here...) {
				if got.Errno != want[i] {
					differences++
					t.Errorf("%-20s %-8s %-12s natively %v, by ctl %v %s", name, target.kind, native[i], want[i], got.Errno, got.Text)
				}
			}
		}
	}
	t.Logf("%d differences", differences)
	if log := s.log.String(); !strings.Contains(log, "msg=control uid=1001") || !strings.Contains(log, `action="signal TERM"`) || strings.Contains(log, "action=probe") || strings.Contains(log, `action="signal 0"`) {
		s.eventually("the log has what was done", func() bool {
			return strings.Contains(s.log.String(), "msg=control uid=1001")
		})
	}
}

// TestControlTargets is about how processes are named.
func TestControlTargets(t *testing.T) {
	s := newSite(t, cluster.Options{Nodes: 2, ProcsrvArgs: []string{"--control", "all"}}, controlled)
	n := s.cluster.Nodes[1]
	pid, err := n.Spawn(cluster.Process{UID: alice.UID, GID: alice.GID, Argv: []string{"sh", "-c", "sleep 600000 & sleep 600001 & wait"}})
	if err != nil {
		t.Fatal(err)
	}
	root := s.as(vfs.Root)
	g := gpidOf(2, pid)
	var start int64
	s.eventually("the shell has its children", func() bool {
		return strings.Count(s.onNode(n, "ps", "-o", "args", "--ppid", strconv.Itoa(pid)), "sleep 60000") == 2
	})
	stat, err := vfs.ReadFile(t.Context(), root, 8192, strconv.Itoa(g), "stat")
	if err != nil {
		t.Fatal(err)
	}
	_, tail, _ := strings.Cut(string(stat), ") ")
	if start, err = strconv.ParseInt(strings.Fields(tail)[19], 10, 64); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		request string
		want    syscall.Errno
		value   string
	}{
		{fmt.Sprintf("%d probe", g), 0, ""},
		{fmt.Sprintf("n2:%d probe", pid), 0, ""},
		{fmt.Sprintf("%d/%d probe", g, g), 0, ""},
		{fmt.Sprintf("n2:%d/%d probe", pid, pid), 0, ""},
		{fmt.Sprintf("%d/%d probe", g, g+1), syscall.ESRCH, ""},
		{fmt.Sprintf("%d/%d probe", g, gpidOf(1, 1)), syscall.ESRCH, ""},
		{fmt.Sprintf("%d#%d probe", g, start), 0, ""},
		{fmt.Sprintf("%d#%d signal KILL", g, start+1), syscall.ESRCH, ""},
		{fmt.Sprintf("-%d probe", g), 0, ""},
		{fmt.Sprintf("n2:-%d probe", pid), 0, ""},
		{fmt.Sprintf("%d getpgid", g), 0, strconv.Itoa(g)},
		{fmt.Sprintf("%d getsid", g), 0, strconv.Itoa(g)},
		{fmt.Sprintf("%d get-nice", g), 0, ""},
		{fmt.Sprintf("%d sched batch 0", g), 0, ""},
		{fmt.Sprintf("%d get-sched", g), 0, "batch 0"},
		{fmt.Sprintf("%d ioprio idle", g), 0, ""},
		{fmt.Sprintf("%d get-ioprio", g), 0, "idle:0"},
		{fmt.Sprintf("%d affinity 0", g), 0, ""},
		{fmt.Sprintf("%d get-affinity", g), 0, "0"},
		{"2147483647 probe", syscall.ESRCH, ""},
		{"n9:1 probe", syscall.ESRCH, ""},
		{"0 probe", syscall.EINVAL, ""},
		{"-0 probe", syscall.EINVAL, ""},
		{"-1 signal KILL", 0, "head"}, // see below
	} {
		if c.value == "head" {
			// The group 1 of the head, whose leaf lets nobody act.
			if got := s.act(root, c.request); got[0].Errno != syscall.EPERM {
				t.Errorf("%s: %+v", c.request, got[0])
			}
			continue
		}
		got := s.act(root, c.request)[0]
		if got.Errno != c.want || c.value != "" && got.Value != c.value {
			t.Errorf("%s: %+v, want %v %q", c.request, got, c.want, c.value)
		}
	}
	for _, bad := range []string{"x signal TERM\n", "1 1 fly\n", "1 1 signal\n", "1 1 probe\n1 1 probe\n", strings.Repeat("x", 5000) + "\n"} {
		if _, err := writeRead(t.Context(), root, []byte(bad), "cluster", "ctl"); vfs.Errno(err) != syscall.EINVAL {
			t.Errorf("%.40q: %v", bad, err)
		}
	}
	// A mount shows the file, and lets nobody write.
	if got := strings.TrimSpace(s.onAll("sh", "-c", fmt.Sprintf("stat -c %%A:%%s /proc/%d/ctl; ls /proc/%d | grep -c ^ctl; { echo kill >/proc/%d/ctl; } 2>&1 | grep -o Read-only", g, g, g))); got != "--w-------:0\n1\nRead-only" {
		t.Errorf("in a mount: %q", got)
	}
	// The whole group, and nobody else.
	if got := s.act(s.as(alice), fmt.Sprintf("%d rlimit nofile 100:200", g), fmt.Sprintf("%d get-rlimit nofile", g), fmt.Sprintf("-%d signal KILL", g)); got[0].Errno != 0 || got[1].Value != "100:200" || got[2].Errno != 0 {
		t.Errorf("%+v", got)
	}
	s.eventually("the group has ended", func() bool {
		out, _ := output(n.Command(t.Context(), "ps", "-eo", "args"))
		return !strings.Contains(out, "sleep 60000") && strings.Contains(out, "sleep 10000")
	})
	// As files.
	other, err := n.Spawn(cluster.Process{UID: bob.UID, GID: bob.GID, Argv: []string{"sleep", "700000"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range [][]string{{strconv.Itoa(gpidOf(2, other))}, {"nodes", "n2", strconv.Itoa(other)}, {"sets", "n2", strconv.Itoa(gpidOf(2, other))}} {
		names := func(root vfs.Dir) string {
			d, _, err := vfs.WalkPath(t.Context(), root, path...)
			if err != nil {
				t.Fatal(err)
			}
			h, err := d.(vfs.Dir).List(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer h.Close()
			all, err := h.ReadDir(t.Context(), 0, nil, 1000)
			if err != nil {
				t.Fatal(err)
			}
			return fmt.Sprint(all)
		}
		if !strings.Contains(names(root), "{ctl ") {
			t.Errorf("%v lists no ctl: %s", path, names(root))
		}
		write := func(who vfs.Identity, text string) error {
			_, err := writeRead(t.Context(), s.as(who), []byte(text), append(slices.Clip(path), "ctl")...)
			return err
		}
		for _, c := range []struct {
			who  vfs.Identity
			text string
			want syscall.Errno
		}{
			{bob, "signal STOP\n", 0}, {bob, "start", 0}, {bob, "stop\nstart\n", 0}, {alice, "kill", syscall.EPERM}, {bob, "nonsense", syscall.EINVAL},
			{bob, "nice 30", 0}, {bob, "pri 10", syscall.EACCES}, {vfs.Root, "pri 10", 0}, {vfs.Root, "wired 0", 0},
		} {
			if err := write(c.who, c.text); vfs.Errno(err) != c.want {
				t.Errorf("%v, %d writes %q: %v, want %v", path, c.who.UID, c.text, err, c.want)
			}
		}
	}
	if got := strings.TrimSpace(s.onNode(n, "ps", "-o", "ni=", "-p", strconv.Itoa(other))); got != "0" {
		t.Errorf("nice %s", got)
	}
}

// TestControlPolicy: both ends must allow it.
func TestControlPolicy(t *testing.T) {
	exists := func(s *site, who vfs.Identity, path ...string) bool {
		t.Helper()
		_, _, err := vfs.WalkPath(t.Context(), s.as(who), path...)
		if err != nil && vfs.Errno(err) != syscall.ENOENT {
			t.Errorf("%v: %v", path, err)
		}
		return err == nil
	}
	none := func(s *site, who vfs.Identity) {
		t.Helper()
		for _, path := range []string{"cluster/ctl", "10000001/ctl", "n1:1/ctl", "nodes/n1/1/ctl", "sets/n1/cluster/ctl"} {
			if exists(s, who, strings.Split(path, "/")...) {
				t.Errorf("%s exists for %d", path, who.UID)
			}
		}
	}
	t.Run("off", func(t *testing.T) {
		s := newSite(t, cluster.Options{Nodes: 1, ProcsrvArgs: []string{"--control", "all"}}, "views: [{users: [\"1001\"], nodes: all, processes: all}]\n")
		none(s, vfs.Root)
		none(s, alice)
	})
	t.Run("leaf off", func(t *testing.T) {
		s := newSite(t, cluster.Options{Nodes: 1}, controlled)
		for _, who := range []vfs.Identity{vfs.Root, alice} {
			if got := s.act(s.as(who), "n1:1 probe", "n1:1 signal TERM"); got[0].Errno != syscall.EPERM || got[1].Errno != syscall.EPERM || !strings.Contains(got[1].Text, "procsrv --control") {
				t.Errorf("%+v", got)
			}
		}
	})
	t.Run("own", func(t *testing.T) {
		s := newSite(t, cluster.Options{Nodes: 2, ProcsrvArgs: []string{"--control", "own"}},
			"views: [{users: [\"1001\"], nodes: n1, processes: own, control: own}, {users: [\"1002\"], nodes: all, processes: all, control: {processes: all, actions: [nice]}}]\n")
		none(s, vfs.Root)
		pids := map[uint32]int{}
		for _, who := range []vfs.Identity{vfs.Root, alice, bob} {
			pid, err := s.cluster.Nodes[0].Spawn(cluster.Process{UID: who.UID, GID: who.GID, Argv: []string{"sleep", "800000"}})
			if err != nil {
				t.Fatal(err)
			}
			pids[who.UID] = pid
		}
		// What is not shown is not there.
		got := s.act(s.as(alice), fmt.Sprintf("n1:%d probe", pids[bob.UID]), fmt.Sprintf("n1:%d signal USR1", pids[0]), "n2:1 probe", fmt.Sprintf("n1:%d nice 19", pids[alice.UID]), "n1:3999999 probe")
		for i, want := range []syscall.Errno{syscall.ESRCH, syscall.ESRCH, syscall.ESRCH, 0, syscall.ESRCH} {
			if got[i].Errno != want {
				t.Errorf("alice, %d: %+v, want %v", i, got[i], want)
			}
		}
		if exists(s, alice, "nodes", "n1", strconv.Itoa(pids[bob.UID]), "ctl") {
			t.Error("a hidden process has a ctl")
		}
		got = s.act(s.as(bob), fmt.Sprintf("n1:%d nice 19", pids[bob.UID]), fmt.Sprintf("n1:%d signal TERM", pids[bob.UID]), fmt.Sprintf("n1:%d nice 19", pids[alice.UID]), fmt.Sprintf("n1:%d get-nice", pids[bob.UID]))
		for i, want := range []syscall.Errno{0, syscall.EPERM, syscall.EPERM, 0} {
			if got[i].Errno != want {
				t.Errorf("bob, %d: %+v, want %v", i, got[i], want)
			}
		}
		out, err := s.aggrfs("whoami", "--as", "1002")
		if err != nil || !strings.Contains(out, "control      all: nice") {
			t.Errorf("%v\n%s", err, out)
		}
	})
}

// TestControlSilent: a node that hangs is no reason to take a process for gone.
func TestControlSilent(t *testing.T) {
	s := newSite(t, cluster.Options{Nodes: 2, ProcsrvArgs: []string{"--control", "all"}}, controlled+"timeouts: {read: 2s, sweep: 1s}\n")
	root := s.as(vfs.Root)
	if got := s.act(root, "n1:1 probe", "n2:1 probe"); got[0].Errno != 0 || got[1].Errno != 0 {
		t.Fatalf("%+v", got)
	}
	if err := s.cluster.Nodes[1].Pause(); err != nil {
		t.Fatal(err)
	}
	defer s.cluster.Nodes[1].Resume()
	for round := range 3 {
		began := time.Now()
		got := s.act(root, "n2:1 signal CONT", "n1:1 probe", "20000001 probe")
		if got[0].Errno != syscall.EHOSTDOWN || got[1].Errno != 0 || got[2].Errno != syscall.EHOSTDOWN {
			t.Errorf("round %d: %+v", round, got)
		}
		if d := time.Since(began); d > 30*time.Second {
			t.Errorf("round %d takes %v", round, d)
		}
	}
}

// TestControlReusedPIDs: on a node whose pids are used again within moments, what is meant for a
// process that has ended reaches no other.
func TestControlReusedPIDs(t *testing.T) {
	s := newSite(t, cluster.Options{Nodes: 1, ProcsrvArgs: []string{"--control", "all"}}, controlled)
	n := s.cluster.Nodes[0]
	if _, err := output(n.Command(t.Context(), "sh", "-c", fmt.Sprintf("echo %d >/proc/sys/kernel/pid_max", smallPIDMax))); err != nil {
		t.Fatal("a pid namespace has its own pid_max since Linux 6.14: ", err)
	}
	root := s.as(alice)
	// Victims are of the same user, so that the kernel would let them be hit. They say so if they are.
	dir := filepath.Join(n.Root, "tmp", "victims")
	if err := os.Mkdir(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	const forks = 4 * smallPIDMax
	type result struct {
		out []byte
		err error
	}
	done := make(chan result, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	go func() {
		// A few children at a time: each is there for a moment, with a trap.
		cmd := n.Command(ctx, "setpriv", "--reuid=1001", "--regid=1001", "--clear-groups", "python3", "-c", `
import os, signal, sys, time
def hit(*_): open("/tmp/victims/%d" % os.getpid(), "w").close()
signal.signal(signal.SIGUSR1, hit)
last = None
for _ in range(int(sys.argv[1])):
    pid = os.fork()
    if pid == 0:
        time.sleep(0.002)
        os._exit(0)
    if last: os.waitpid(last, 0)
    last = pid
os.waitpid(last, 0)
`, fmt.Sprint(forks))
		out, err := cmd.CombinedOutput()
		done <- result{out, err}
	}()
	requests := 0
	var r *result
	for r == nil {
		select {
		case ended := <-done:
			r = &ended
			continue
		default:
		}
		// A process that is gone before it is signalled.
		pid, err := n.Spawn(cluster.Process{UID: alice.UID, GID: alice.GID, Argv: []string{"sleep", "900000"}})
		if err != nil {
			t.Fatal(err)
		}
		p, _, err := vfs.WalkPath(t.Context(), root, "nodes", "n1", strconv.Itoa(pid), "ctl")
		if err != nil {
			t.Fatal(err)
		}
		h, err := ninep.OpenRW(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		if err := n.Signal(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		for range 50 {
			_, err := h.(vfs.Writer).WriteAt(t.Context(), []byte("signal USR1"), 0)
			requests++
			switch vfs.Errno(err) {
			case syscall.ESRCH, syscall.ENOENT:
			default:
				t.Fatalf("a process that has ended: %v", err)
			}
		}
		h.Close()
	}
	if r.err != nil {
		t.Fatalf("%v: %s", r.err, r.out)
	}
	hit, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(hit) > 0 {
		t.Errorf("processes were hit: %v", hit)
	}
	t.Logf("%d requests, while %d processes had %d numbers", requests, forks, smallPIDMax)
}

// smallPIDMax is how many pids a node has, about the fewest that the kernel lets it have.
const smallPIDMax = 310
