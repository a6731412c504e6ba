package e2e

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/pkg/vfs"
	"github.com/aggrfs/aggrfs/test/cluster"
	"github.com/aggrfs/aggrfs/test/wait"
)

// asNative are scripts for bash that print the same below exec as without it: what they look at, or
// change, are processes of this machine. $W waits until a command of ours succeeds.
var asNative = []struct {
	name, script string
	rootOnly     string // why; "" is for every user
}{
	{"a shell writes oom_score_adj", `sleep 100 & echo 500 >/proc/$!/oom_score_adj; cat /proc/$!/oom_score_adj; kill $!`, ""},
	{"choom", `sleep 100 & p=$!; choom -n 300 -p $p | sed s/$p/P/; choom -p $p | sed s/$p/P/; kill $p`, ""},
	{"unshare --mount-proc", `unshare -Urpf --mount-proc sh -c 'ps -e -o pid= -o comm= | head -2'`, ""},
	{"bwrap", `bwrap --ro-bind / / --unshare-all --proc /proc --dev /dev sh -c 'ps -e -o pid= -o comm= | head -2'`, ""},
	{"bwrap with the /proc of outside", `bwrap --ro-bind / / --dev /dev sh -c 'cat /proc/self/comm; cat /proc/$$/comm'`, ""},
	{"uid_map of a child", `unshare -U sleep 100 & p=$!; W test "$(cat /proc/$p/comm)" = sleep; echo "0 $(id -u) 1" >/proc/$p/uid_map && cat /proc/$p/uid_map; kill $p`, ""},
	{"newuidmap", `d=$(mktemp -d); echo root:100000:65536 >$d/ids; unshare -m bash -c "mount --bind $d/ids /etc/subuid; mount --bind $d/ids /etc/subgid; unshare --map-auto --map-root-user cat /proc/self/uid_map /proc/self/gid_map"; rm -r $d`, "it is setuid, and a user's exec has no_new_privs"},
	{"atop", `atop -PPRG 1 1 | grep -c " $$ (bash)"`, ""},
	{"gdb runs a program", `gdb -q -nx -batch -ex 'catch syscall getuid' -ex run -ex 'p 40+2' -ex kill --args id -u 2>&1 | grep -c -e '= 42' -e 'Catchpoint 1 (call'`, ""},
	{"gdb reads a child", `sleep 100 & p=$!; W test "$(cat /proc/$p/comm)" = sleep; gdb -q -nx -batch -p $p -ex 'info proc exe' 2>&1 | sed s/$p/P/ | grep exe; kill $p`, ""},
	{"gcore", `sleep 100 & p=$!; W test "$(cat /proc/$p/comm)" = sleep; d=$(mktemp -d); gcore -o $d/core $p 2>&1 | grep -i -e warning -e memory -e saved | sed "s/$p/P/g; s#$d##"; rm -r $d; kill $p`, ""},
	{"nsenter by pid", `unshare -Un sleep 100 & p=$!; W test "$(cat /proc/$p/comm)" = sleep; test "$(nsenter -t $p -U --preserve-credentials -n readlink /proc/self/ns/net)" = "$(readlink /proc/$p/ns/net)" && echo in; kill $p`, ""},
	{"ps shows namespaces", `ps -o pidns= -o netns= -o mntns= -p $$ | awk -v p="$(stat -L -c %i /proc/self/ns/pid)" -v n="$(stat -L -c %i /proc/self/ns/net)" '{print ($1 == p), ($2 == n), ($3 > 0)}'`, ""},
	{"lsns of all", `lsns -n -t net -o NS | sort -n | awk '$1 < 4294967296' | head -3`, ""},
	{"lsns", `unshare -Un sleep 100 & p=$!; W test "$(cat /proc/$p/comm)" = sleep; lsns -n -t net -o NS -p $p | grep -c $(stat -L -c %i /proc/$p/ns/net); kill $p`, ""},
	{"pgrep --ns", `unshare -Urpf sleep 77 & p=$!; W pgrep -P $p sleep; pgrep --ns $(pgrep -P $p sleep) --nslist pid | wc -l; kill $(pgrep -P $p sleep)`, ""},
	{"lsof -i", listening + `; lsof -nP -a -p $p -iTCP | tail -n +2 | awk '{print $1, $5, $8, $10}' | sed "s/$port/PORT/"; kill $p`, ""},
	{"fuser -n tcp", listening + `; fuser -n tcp $port 2>/dev/null | grep -c -w $p; kill $p`, ""},
	{"lsof of a pipe", `sleep 100 </dev/null | cat & p=$(jobs -p); lsof -a -p $p -d 1 | awk 'NR==2 {print $1, $4, $5, $NF}' | sed 's/inode=[0-9]*/I/'; kill $p`, ""},
	{"lsof of a process", `cd /tmp; sleep 100 </dev/null & lsof -a -p $! -d cwd,rtd,txt,0 -F fn | sed s/$!/P/; kill $!`, ""},
	{"a pipe by its descriptor", `echo hi | cat /proc/self/fd/0; cat <(echo there); exec 7<<<string; cat /proc/$$/fd/7`, ""},
	{"the root of a container", `unshare -Urm bash -c 'mount -t tmpfs none /mnt; echo inside >/mnt/f; exec sleep 100' & p=$!; W test "$(cat /proc/$p/comm)" = sleep; cat /proc/$p/root/mnt/f; readlink /proc/$p/root /proc/$p/cwd; kill $p`, ""},
	{"fuser of a directory", `d=$(mktemp -d); (cd $d; exec sleep 100) & p=$!; W test "$(cat /proc/$p/comm)" = sleep
		unshare -Urm bash -c "mount -t tmpfs none $d; cd $d; exec sleep 100" & q=$!; W test "$(cat /proc/$q/comm)" = sleep
		fuser $d 2>/dev/null | sed "s/\b$p\b/P/; s/\b$q\b/IN-ANOTHER-NAMESPACE/"; kill $p $q; wait 2>/dev/null; rmdir $d`, ""},
	{"a program that is deleted", `d=$(mktemp -d); cp /bin/sleep $d/s; $d/s 100 & p=$!; W test "$(cat /proc/$p/comm)" = s; rm -r $d; cmp /proc/$p/exe /bin/sleep && echo same; readlink /proc/$p/exe | sed "s#$d##"; kill $p`, ""},
	{"self is a number", `bash -c 'test $(readlink /proc/self) -gt 1 && readlink /proc/thread-self | grep -c "^[0-9]*/task/[0-9]*$"'`, ""},
	{"up from a process", `python3 -c 'import os; os.chdir("/proc/%d" % os.getpid()); os.chdir(".."); print(os.getcwd(), os.path.exists("meminfo"), os.path.exists("%d/task/%d/stat" % (os.getpid(), os.getpid())))'`, ""},
	{"threads", `python3 -c 'import threading, os, time
e = threading.Event()
for _ in range(3): threading.Thread(target=e.wait).start()
print(len(os.listdir("/proc/self/task"))); print(sum(1 for t in os.listdir("/proc/self/task") if open("/proc/self/task/%s/comm" % t).read() == "python3\n")); os.system("ps -L -o comm= -p %d | wc -l" % os.getpid()); e.set()'`, ""},
	{"the tree bound to another place", `unshare -Urm bash -c 'd=$(mktemp -d); mount --rbind /proc $d && cat $d/self/comm $d/$$/comm; umount -l $d; rmdir $d'`, ""},
	{"the tree in another root", `unshare -Urm bash -c 'd=$(mktemp -d); mount --rbind / $d && cd $d && mkdir -p tmp/old && pivot_root . tmp/old && cd / && umount -l /tmp/old && rmdir /tmp/old && cat /proc/self/comm; kill -0 $$ && cat /proc/$$/comm'`, ""},
	{"maps and memory", `sleep 100 & p=$!; W test "$(cat /proc/$p/comm)" = sleep; python3 -c '
import sys
p = "/proc/" + sys.argv[1]
a = int(open(p + "/maps").readline().split("-")[0], 16)
with open(p + "/mem", "rb", 0) as f: f.seek(a); print(f.read(4))
open(p + "/clear_refs", "w").write("1"); print(len(open(p + "/pagemap", "rb", 0).read(8)))' $p; kill $p`, ""},
}

// listening starts a process $p that listens on the port $port.
const listening = `exec 8< <(exec python3 -c 'import socket, time
s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen(); print(s.getsockname()[1], flush=True); time.sleep(100)'); p=$!; read port <&8`

// waits is $W: it tries a command again and again, and evaluates it anew each time.
const waits = `W() { local n=0; until "$@" >/dev/null 2>&1; do n=$((n+1)); test $n -lt 600 || return 1; sleep 0.05; done; }
`

// anew has conditions that read /proc evaluated at each try.
func anew(script string) string {
	return waits + strings.NewReplacer(
		`W test "$(cat /proc/$p/comm)" = sleep`, `W grep -qx sleep /proc/$p/comm`,
		`W test "$(cat /proc/$q/comm)" = sleep`, `W grep -qx sleep /proc/$q/comm`,
		`W test "$(cat /proc/$p/comm)" = s;`, `W grep -qx s /proc/$p/comm;`,
	).Replace(script)
}

// The processes of this machine are below exec what they are without it, to root and to a user in
// a user namespace: they can be written to, traced, entered, and followed, and what is asked of
// them is the kernel's answer of this moment.
func TestHeadIsNativeBelowExec(t *testing.T) {
	s := newSite(t, cluster.Options{Nodes: 1}, "views: [{users: [\"1001\"], nodes: all, processes: all, deny: [\"<pid>/maps\"]}]\n")
	alice := vfs.Identity{UID: cluster.Alice, GID: cluster.Alice}
	scratch := filepath.Join(s.cluster.Dir, "scratch")
	if err := os.Mkdir(scratch, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(scratch, 0o777); err != nil {
		t.Fatal(err)
	}
	run := func(argv []string, script string) string {
		ctx, cancel := context.WithTimeout(t.Context(), wait.Patience)
		defer cancel()
		cmd := exec.CommandContext(ctx, argv[0], append(argv[1:], "bash", "-c", anew(script))...)
		cmd.Dir = "/"
		cmd.Env = append(os.Environ(), "LC_ALL=C", "DEBUGINFOD_URLS=", "TMPDIR="+scratch)
		cmd.WaitDelay = time.Second
		out, err := cmd.CombinedOutput()
		if err != nil {
			out = fmt.Appendf(out, "%v", err)
		}
		return strings.Join(strings.Fields(string(out)), " ")
	}
	for name, who := range map[string]struct{ native, below []string }{
		"root":   {[]string{"env"}, []string{filepath.Join(bin, "aggrfs"), "exec", "--server", s.server, "--"}},
		"a user": {as(alice), s.asUserArgs(alice, "exec", "--server", s.server, "--")},
	} {
		for _, test := range asNative {
			if test.rootOnly != "" && name != "root" {
				continue
			}
			t.Run(name+"/"+test.name, func(t *testing.T) {
				s.t = t
				want := run(who.native, test.script)
				t.Logf("natively %q", want)
				if got := run(who.below, test.script); got != want || want == "" {
					t.Errorf("below exec %q, natively %q", got, want)
				}
			})
		}
	}
}

// In a view without this machine a program finds itself, what it starts and what started it, and
// nobody else of this machine; none of them is listed.
func TestOwnFamilyWithoutTheHead(t *testing.T) {
	s := newSite(t, cluster.Options{Nodes: 1}, "")
	stranger := exec.Command("sleep", "1000")
	if err := stranger.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stranger.Process.Kill(); stranger.Wait() })
	script := fmt.Sprintf(waits+`sleep 100 & p=$!; unshare -Um sleep 100 & q=$!; W grep -qx sleep /proc/.native/$p/comm
		cat /proc/$$/comm /proc/$PPID/comm; cat /proc/$p/oom_score_adj >/dev/null && cat /proc/$p/comm; test -e /proc/$q/stat && echo child
		test -r /proc/1/cgroup && echo init
		test -e /proc/%d || echo no stranger
		ps -e -o pid= | grep -w -e $$ -e $p -e $q -e $PPID; test "$(readlink /proc/$$/exe)" = "$(readlink /proc/.native/$$/exe)" && echo exe; kill $p $q`, stranger.Process.Pid)
	if got, want := s.onTree("bash", "-c", script), "bash\naggrfs\nsleep\nchild\ninit\nno stranger\nexe\n"; got != want {
		t.Errorf("got %q", got)
	}
}

// A tree as another user sees it has nothing of the rights of who runs the command: no links.
func TestNoNativeLinksAsAnother(t *testing.T) {
	s := newSite(t, cluster.Options{Nodes: 1}, "views: [{users: [\"1001\"], nodes: all, processes: all}]\n")
	out, err := s.aggrfs("exec", "--as", fmt.Sprint(cluster.Alice), "--", "sh", "-c", "ls -d /proc/.native; stat -c %F /proc/1/status; cat /proc/1/environ")
	if err == nil || !strings.Contains(err.Error(), "/proc/.native") || !strings.Contains(err.Error(), "environ") || !strings.Contains(out, "regular") {
		t.Errorf("%q, %v", out, err)
	}
}

// The native procfs stays in the tree, and the CPUs where they are mounted, when the server ends and
// another takes the mount over, also
// while the tree is used and nobody answers.
func TestNativeOutlivesTheServer(t *testing.T) {
	s := newSite(t, cluster.Options{Nodes: 1}, "views: [{users: [\"1001\"], nodes: all, processes: all}]\ntimeouts: {connect: 3s, read: 3s, sweep: 3s}\n")
	s.killed = true
	alice := vfs.Identity{UID: cluster.Alice, GID: cluster.Alice}
	script := `while read x; do
		mkdir /proc/.native 2>/dev/null; stat /proc/.native/self /proc/nothing >/dev/null 2>&1
		if grep -q "^Pid:.*$$" /proc/$$/status 2>/dev/null && test "$(readlink /proc/self/ns/net)" &&
			test "$(ls /sys/devices/system/cpu 2>/dev/null | grep -c "^cpu[0-9]*$")" = 2; then echo well; else echo ill; fi; done`
	type shell struct {
		in  io.Writer
		out *bufio.Scanner
	}
	shells := make(map[string]shell)
	for name, argv := range map[string][]string{
		"root":   {filepath.Join(bin, "aggrfs"), "exec", "--server", s.server, "--"},
		"a user": s.asUserArgs(alice, "exec", "--server", s.server, "--"),
	} {
		cmd := exec.Command(argv[0], append(argv[1:], "bash", "-c", script)...)
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
		t.Cleanup(func() { in.Close(); cmd.Wait() })
		shells[name] = shell{in, bufio.NewScanner(out)}
	}
	are := func(what, want string) {
		t.Helper()
		for name, sh := range shells {
			s.eventually(name+" is "+want+" "+what, func() bool {
				fmt.Fprintln(sh.in, "x")
				return sh.out.Scan() && sh.out.Text() == want
			})
		}
	}
	are("at first", "well")
	for round := range 2 {
		if round == 0 {
			s.kill(t)
		} else {
			s.stop()
		}
		are("without a server", "ill")
		s.serve()
		are("with another", "well")
	}
}

// kill ends the site's front end at once.
func (s *site) kill(t *testing.T) {
	t.Helper()
	p, err := os.FindProcess(s.pid())
	if err == nil {
		err = p.Kill()
	}
	if err != nil {
		t.Fatal(err)
	}
}
