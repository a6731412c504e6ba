package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/pkg/vfs"
	"github.com/aggrfs/aggrfs/test/cluster"
	"github.com/aggrfs/aggrfs/test/wait"
)

// readingCalls prints what the system calls that only read say of each process and thread of
// /proc above a pid, with pids as the node has them. Its own ones are left out.
const readingCalls = `
import errno, os, resource, sys
def say(f):
    try:
        return str(f())
    except OSError as e:
        return errno.errorcode[e.errno]
    except ValueError as e:
        return str(e)
first = int(sys.argv[1])
for p in os.listdir("/proc"):
    if not p.isdigit() or int(p) < first: continue
    try:
        if "python" in open("/proc/%s/comm" % p).read() or "python" in open("/proc/%s/cmdline" % p).read(): continue
        tasks = os.listdir("/proc/%s/task" % p)
    except OSError:
        continue
    for t in tasks:
        n = int(t)
        print(n % 10000000, say(lambda: os.getpriority(os.PRIO_PROCESS, n)), say(lambda: os.sched_getaffinity(n)), say(lambda: os.sched_getscheduler(n)),
            say(lambda: os.sched_getparam(n).sched_priority), say(lambda: os.getpgid(n) % 10000000), say(lambda: os.getsid(n) % 10000000),
            say(lambda: os.kill(n, 0)), say(lambda: os.kill(n, 65)), say(lambda: os.getpriority(os.PRIO_PGRP, n)),
            say(lambda: [resource.prlimit(n, r) for r in range(16)]), say(lambda: resource.prlimit(n, 16)))
    n = int(p)
    if n % 10000000 == 1: continue # to the C library that is the group of everybody
    print("group", n % 10000000, say(lambda: os.killpg(n, 0)), say(lambda: os.killpg(n, 65)))
for n in 4194303, -4194304, -4194303:
    print(n, say(lambda: os.kill(n, 0)), say(lambda: os.getpgid(n)), say(lambda: os.sched_getscheduler(n)))
`

// System calls that only read answer below exec as they do on the node, for root and for users,
// without control being allowed.
func TestReadingCalls(t *testing.T) {
	s := newSite(t, cluster.Options{Nodes: 2}, "views: [{users: \"1001\", nodes: all, processes: all}, {users: \"1002\", nodes: all, processes: all}]\n")
	n := s.cluster.Nodes[1]
	lines := func(out string) []string { return strings.Split(strings.TrimSpace(out), "\n") }
	key := func(row string) string {
		f := strings.Fields(row)
		if f[0] == "group" {
			return f[0] + f[1]
		}
		return f[0]
	}
	for _, who := range []vfs.Identity{vfs.Root, {UID: cluster.Alice, GID: cluster.Alice}, {UID: cluster.Bob, GID: cluster.Bob, Groups: []uint32{cluster.Alice}}} {
		t.Run(strconv.Itoa(int(who.UID)), func(t *testing.T) {
			s.t = t
			script := []string{"/usr/bin/python3", "-c", readingCalls}
			rows := s.sameRows("what the calls return", key,
				func() []string { return lines(s.onNode(n, append(append(as(who), script...), "1")...)) },
				func() []string {
					argv := append([]string{"exec", "--server", s.server, "--nodes", n.Name, "--"}, append(script, "4194305")...)
					out, err := s.asUser(who, argv...)
					if err != nil {
						t.Fatal(err)
					}
					return lines(out)
				})
			if rows < 15 {
				t.Errorf("only %d rows", rows)
			}
		})
	}
}

// psutil keeps the processes of other machines also where it asks for what only system calls tell.
func TestPsutilIter(t *testing.T) {
	s := newSite(t, cluster.Options{Nodes: 2}, "")
	const script = `
import psutil
print(sorted((p.pid, p.info["nice"], p.info["cpu_affinity"]) for p in psutil.process_iter(["nice", "cpu_affinity"]) if p.pid > 4194304))`
	const list = `
import os
print(sorted((int(p), os.getpriority(0, int(p)), sorted(os.sched_getaffinity(int(p)))) for p in os.listdir("/proc") if p.isdigit() and int(p) > 4194304))`
	python := "/usr/bin/python3"
	s.eventuallyNil("psutil shows every process", func() error {
		want, got := s.onTree(python, "-c", list), s.onTree(python, "-c", script)
		if want != got || strings.Count(got, "(") < 10 {
			return fmt.Errorf("got %s, want %s", got, want)
		}
		return nil
	})
	out, err := s.aggrfs("exec", "--no-control", "--nodes", "n[1-2]", "--", python, "-c", script)
	if err != nil || strings.Count(out, "(") != 0 {
		t.Errorf("without the filter: %v, %q", err, out)
	}
}

// Where control is not allowed what acts is refused for what is seen, and there is nothing else.
func TestCallsWithoutControl(t *testing.T) {
	s := newSite(t, cluster.Options{Nodes: 1}, "views: [{users: \"1001\", nodes: all}]\n")
	alices := 10_000_000 + s.pidOf("1001", "sh")
	bobs := 10_000_000 + s.pidOf("1002", "solver")
	const no, gone = "Operation not permitted", "No such process"
	for _, test := range []struct{ name, script, want string }{
		{"bash's kill", "kill -TERM $1", no},
		{"bash's kill of none", "kill -TERM 10900000", gone},
		{"bash's kill of a group", "kill -TERM -- -$1", no},
		{"bash's kill of no group", "kill -TERM -- -10900000", gone},
		{"kill", "/bin/kill -TERM $1", no},
		{"os.kill", "/usr/bin/python3 -c 'import os, sys; os.kill(int(sys.argv[1]), 15)' $1", no},
		{"renice", "renice 3 $1", no},
		{"taskset", "taskset -p 1 $1", no},
		{"ionice", "ionice -c idle -p $1", no},
		{"chrt", "chrt -b -p 0 $1", no},
		{"prlimit", "prlimit --pid $1 --cpu=1000", no},
		{"killall", "killall -TERM sleep", no},
		{"pkill", "pkill -TERM sleep", no},
	} {
		t.Run(test.name, func(t *testing.T) {
			s.t = t
			cmd := exec.Command(filepath.Join(bin, "aggrfs"), "exec", "--server", s.server, "--nodes", "n1", "--", "bash", "-c", test.script, "-", strconv.Itoa(alices))
			out, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(string(out), test.want) {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
	s.t = t
	if s.pidOf("1001", "sh")+10_000_000 != alices {
		t.Error("alice's process has gone")
	}
	// What a view does not show is not there.
	alice := vfs.Identity{UID: cluster.Alice, GID: cluster.Alice}
	for pid, want := range map[int]string{alices: no, bobs: gone} {
		out, err := s.asUser(alice, "exec", "--server", s.server, "--", "bash", "-c", "kill -TERM $0", strconv.Itoa(pid))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("kill of %d by alice: %v, %s; want %s", pid, err, out, want)
		}
	}
	out, err := s.aggrfs("exec", "--no-control", "--", "bash", "-c", "kill -0 $0", strconv.Itoa(alices))
	if err == nil || !strings.Contains(err.Error(), gone) {
		t.Errorf("kill with --no-control: %v, %s", err, out)
	}
}

// pidOf is the first process of a user on n1, by what its command line has.
func (s *site) pidOf(user, command string) int {
	s.t.Helper()
	pid, err := strconv.Atoi(strings.Fields(s.onNode(s.cluster.Nodes[0], "pgrep", "-f", "-u", user, command))[0])
	if err != nil {
		s.t.Fatal(err)
	}
	return pid
}

// A call is answered as for who makes it, whoever started exec.
func TestCallsAsWhom(t *testing.T) {
	s := newSite(t, cluster.Options{Nodes: 1}, "views: [{users: \"1001\", nodes: all, processes: all}, {users: \"1002\", nodes: all, processes: all}, {users: daemon, nodes: all, processes: all}]\n")
	pids := map[string]int{"root": 1, "alice": s.pidOf("1001", "sh"), "bob": s.pidOf("1002", "solver")}
	dir := t.TempDir()
	setuid := filepath.Join(dir, "kill")
	program, err := os.ReadFile("/bin/kill")
	if err != nil {
		t.Fatal(err)
	}
	reachable(t, setuid)
	if err := os.WriteFile(setuid, program, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(setuid, int(cluster.Bob), 0); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(setuid, os.ModeSetuid|0o755); err != nil {
		t.Fatal(err)
	}
	const alice = "setpriv --reuid 1001 --regid 1001 --clear-groups "
	for _, test := range []struct{ name, run, kills string }{
		{"root", "", "root alice bob"},
		{"setpriv", alice, "alice"},
		{"su", "su -s /bin/sh daemon -c 'exec \"$0\" \"$@\"' -- ", ""},
		{"without capabilities", "setpriv --bounding-set -all --inh-caps -all ", "root"},
		{"a real user of its own", "setpriv --ruid 1001 ", "root alice bob"},
		{"a setuid program", "SETUID", "alice bob"},
		{"root of a user namespace", "unshare --user --map-root-user ", "root"},
		{"a user's user namespace", alice + "unshare --user ", "alice"},
	} {
		for name, pid := range pids {
			command := test.run + "/bin/kill -0 "
			if test.run == "SETUID" {
				command = alice + setuid + " -0 "
			}
			out, err := s.aggrfs("exec", "--", "sh", "-c", command+strconv.Itoa(10_000_000+pid))
			want := strings.Contains(test.kills, name)
			if (err == nil) != want || err != nil && !strings.Contains(err.Error(), "not permitted") {
				t.Errorf("%s: kill -0 of %s's: %v, %s; want success %v", test.name, name, err, out, want)
			}
		}
	}
}

// A node that hangs is not gone, and others are answered meanwhile.
func TestCallsWhenANodeHangs(t *testing.T) {
	s := newSite(t, cluster.Options{Nodes: 2}, "timeouts: {read: 2s, connect: 2s, sweep: 2s}\n")
	sick := s.cluster.Nodes[1]
	if err := sick.Pause(); err != nil {
		t.Fatal(err)
	}
	resumed := false
	defer func() {
		if !resumed {
			sick.Resume()
		}
	}()
	const script = `
import errno, os, threading, time
def say(pid):
    try:
        os.kill(pid, 0)
        return "ok"
    except OSError as e:
        return errno.errorcode[e.errno]
answers = []
threads = [threading.Thread(target=lambda n=n: answers.append(say(20900000 + n))) for n in range(200)]
for t in threads: t.start()
print(say(10000001), len(answers) < 200)
for t in threads: t.join()
print(sorted(set(answers)))
`
	s.eventuallyNil("calls about a node that hangs are EHOSTDOWN", func() error {
		cmd := exec.Command(filepath.Join(bin, "aggrfs"), "exec", "--server", s.server, "--", "/usr/bin/python3", "-c", script)
		out, err := cmd.Output() // it says on stderr what is missing
		if text := string(out); err != nil || !strings.HasPrefix(text, "ok ") || !strings.HasSuffix(text, "\n['EHOSTDOWN']\n") {
			return fmt.Errorf("%w: %q", err, text)
		}
		return nil
	})
	resumed = true
	if err := sick.Resume(); err != nil {
		t.Fatal(err)
	}
}

// An exec below an exec has no listener of its own, says so, and goes on.
func TestCallsBelowTwoExecs(t *testing.T) {
	s := newSite(t, cluster.Options{Nodes: 1}, "")
	inner := fmt.Sprintf("%s exec --server %s -- sh -c 'kill -0 10000001 && echo done'", filepath.Join(bin, "aggrfs"), s.server)
	cmd := exec.Command(filepath.Join(bin, "aggrfs"), "exec", "--server", s.server, "--", "sh", "-c", inner)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil || string(out) != "done\n" || strings.Count(stderr.String(), "has a listener already") != 1 {
		t.Errorf("%v: %q, %s", err, out, &stderr)
	}
}

// What a command leaves behind is told that there is no such call when exec has ended.
func TestCallsAfterExec(t *testing.T) {
	s := newSite(t, cluster.Options{Nodes: 1}, "")
	result := filepath.Join(t.TempDir(), "result")
	const script = `
import errno, os, sys, time
if os.fork(): os._exit(0)
os.setsid()
null = os.open("/dev/null", os.O_RDWR)
for fd in range(3): os.dup2(null, fd)
said = "ok"
while said in ("ok", "EHOSTDOWN", "EIO"):
    time.sleep(0.01)
    try: os.kill(10000001, 0)
    except OSError as e: said = errno.errorcode[e.errno]
try: os.kill(os.getpid(), 0)
except OSError as e: said = "and of itself " + errno.errorcode[e.errno]
with open(sys.argv[1] + ".new", "w") as f: f.write(said)
os.rename(sys.argv[1] + ".new", sys.argv[1])
`
	if _, err := s.aggrfs("exec", "--", "/usr/bin/python3", "-c", script, result); err != nil {
		t.Fatal(err)
	}
	var said []byte
	wait.For(t, "the process that was left says what it was told", func() (err error) {
		said, err = os.ReadFile(result)
		return err
	})
	if string(said) != "ENOSYS" {
		t.Errorf("it was told %s", said)
	}
}

// Numbers that no process has never reach one, where control is allowed: not on the head, not on
// a node.
func TestRandomPids(t *testing.T) {
	s := newSite(t, cluster.Options{Nodes: 2, ProcsrvArgs: []string{"--control", "all"}}, controlled)
	canary := exec.Command("sleep", "100000")
	if err := canary.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		canary.Process.Kill()
		canary.Wait()
	}()
	rows := func() string {
		var all strings.Builder
		for _, n := range s.cluster.Nodes { // but for the ps itself
			all.WriteString(s.onNode(n, "sh", "-c", "ps -eo pid=,args= | grep -v 'ps -eo\\|grep -v'"))
		}
		return all.String()
	}
	before := rows()
	// Numbers of the nodes' own processes are left out, which root may kill.
	const script = `
import errno, os, random
known = {int(p) for p in os.listdir("/proc") if p.isdigit()}
told = {}
for i in range(100000):
    n = random.randrange(4194305, 2**31)
    if n in known or n < 30000000: n += 30000000
    n = min(n, 2**31 - 1)
    if i % 2: n = -n
    try: os.kill(n, 9); told["ok"] = told.get("ok", 0) + 1
    except OSError as e: told[errno.errorcode[e.errno]] = told.get(errno.errorcode[e.errno], 0) + 1
print(told)
`
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	out, err := output(exec.CommandContext(ctx, filepath.Join(bin, "aggrfs"), "exec", "--server", s.server, "--", "/usr/bin/python3", "-c", script))
	if err != nil || out != "{'ESRCH': 100000}\n" {
		t.Errorf("%v: %s", err, out)
	}
	if err := canary.Process.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("the head's process: %v", err)
	}
	if after := rows(); after != before {
		t.Errorf("processes of the nodes were\n%s\nand are\n%s", before, after)
	}
}
