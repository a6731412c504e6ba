package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/aggrfs/aggrfs/pkg/vfs"
	"github.com/aggrfs/aggrfs/test/cluster"
	"github.com/aggrfs/aggrfs/test/wait"
)

// unmodified are programs that act on a process, $1; what is then said of it on its node, where it
// is $0, natively. A process that has ended says "gone".
var unmodified = []struct{ name, act, look, want string }{
	{"bash's kill", "kill -STOP $1", "ps -o state= $0", "T"},
	{"kill", "kill -STOP $1; /bin/kill -CONT $1", "ps -o state= $0", "S"},
	{"os.kill", "/usr/bin/python3 -c 'import os, sys; os.kill(int(sys.argv[1]), 19)' $1", "ps -o state= $0", "T"},
	{"kill of a group", "kill -STOP -- -$1", "ps -o state= $0", "T"},
	{"kill until it is gone", "kill $1; for i in $(seq 1000); do kill -0 $1 2>/dev/null || exit 0; sleep 0.02; done; exit 1", "ps -o state= $0 || echo gone", "gone"},
	{"renice", "renice 3 $1 | grep -q 'new priority 3$'", "ps -o ni= $0", "3"},
	{"taskset", "taskset -p 1 $1 | grep -q 'new affinity mask: 1$'", "taskset -p $0 | sed 's/.* //'", "1"},
	{"ionice", "ionice -c idle -p $1; test \"$(ionice -p $1)\" = idle", "ionice -p $0", "idle"},
	{"chrt", "chrt -b -p 0 $1", "chrt -p $0 | sed -n 's/.*policy: //p'", "SCHED_BATCH"},
	{"prlimit", "prlimit --pid $1 --nofile=100:200", "sed -n 's/^Max open files *//p' /proc/$0/limits", "100 200 files"},
	{"pkill", "pkill -STOP -f 'sleep 510001$'", "ps -o state= $0", "T"},
	{"killall", "killall -q -STOP sleep 2>/dev/null; true", "ps -o state= $0", "T"},
	{"psutil", `/usr/bin/python3 -c 'import psutil, sys
p = psutil.Process(int(sys.argv[1]))
p.nice(4); p.cpu_affinity([0]); p.ionice(psutil.IOPRIO_CLASS_IDLE); p.suspend()
assert (p.nice(), p.cpu_affinity(), p.ionice().ioclass) == (4, [0], psutil.IOPRIO_CLASS_IDLE)' $1`, "ps -o state=,ni=,psr= $0", "T 4 0"},
	{"psutil's terminate", `/usr/bin/python3 -c 'import psutil, sys
p = psutil.Process(int(sys.argv[1]))
p.terminate(); p.wait(60)' $1`, "ps -o state= $0 || echo gone", "gone"},
}

// Unmodified programs below exec act on processes of other machines, as root and as their owner;
// not as somebody else.
func TestUnmodifiedProgramsAct(t *testing.T) {
	s := newSite(t, cluster.Options{Nodes: 1, ProcsrvArgs: []string{"--control", "all"}}, controlled)
	n := s.cluster.Nodes[0]
	alice, bob := vfs.Identity{UID: cluster.Alice, GID: cluster.Alice}, vfs.Identity{UID: cluster.Bob, GID: cluster.Bob}
	for _, who := range []vfs.Identity{vfs.Root, alice, bob} {
		for _, u := range unmodified {
			t.Run(fmt.Sprintf("%d/%s", who.UID, u.name), func(t *testing.T) {
				s.t = t
				target, err := n.Spawn(cluster.Process{UID: alice.UID, GID: alice.GID, Argv: []string{"sleep", "510001"}})
				if err != nil {
					t.Fatal(err)
				}
				defer s.onNode(n, "sh", "-c", "kill -KILL $0 2>/dev/null || true", strconv.Itoa(target))
				s.onNode(n, "sh", "-c", "renice -n 0 -p $0 >/dev/null", strconv.Itoa(target)) // whatever that of the tests is
				s.eventually("it sleeps", func() bool {
					out, err := output(n.Command(t.Context(), "ps", "-o", "state=", strconv.Itoa(target)))
					return err == nil && strings.TrimSpace(out) == "S"
				})
				look := func() string {
					out, err := output(n.Command(t.Context(), "sh", "-c", u.look, strconv.Itoa(target)))
					if err != nil {
						return err.Error()
					}
					return strings.Join(strings.Fields(out), " ")
				}
				if u.name == "prlimit" && who.IsRoot() && !s.mayPrlimit(n, target) {
					return // this machine's root has not CAP_SYS_RESOURCE, here or on the node
				}
				before := look()
				out, err := s.asUser(who, "exec", "--server", s.server, "--nodes", "n1", "--", "bash", "-c", u.act, "-", strconv.Itoa(gpidOf(1, target)))
				if who.UID == bob.UID {
					if u.name != "killall" && err == nil {
						t.Errorf("it succeeds as bob: %s", out)
					}
					if after := look(); after != before {
						t.Errorf("on the node it was %q and is %q", before, after)
					}
					return
				}
				if err != nil {
					t.Fatalf("%v: %s", err, out)
				}
				s.eventuallyNil("on its node", func() error {
					if got := look(); got != u.want {
						return fmt.Errorf("%s says %q, want %q", u.look, got, u.want)
					}
					return nil
				})
			})
		}
	}
}

// mayPrlimit reports whether root may look at limits of others on a node, natively.
func (s *site) mayPrlimit(n *cluster.Node, pid int) bool {
	_, err := output(n.Command(s.t.Context(), "prlimit", "--pid", strconv.Itoa(pid), "--core"))
	return err == nil
}

// top's k and r and htop's F9 and F8 act.
func TestTopActs(t *testing.T) {
	s := newSite(t, cluster.Options{Nodes: 1, ProcsrvArgs: []string{"--control", "all"}}, controlled)
	n := s.cluster.Nodes[0]
	for _, test := range []struct {
		name, program string
		keys          func(pid int) []string
		look, want    string
	}{
		{"top k", "top", func(pid int) []string { return []string{"k", strconv.Itoa(pid), "Enter", "19", "Enter"} }, "ps -o state= $0", "T"},
		{"top r", "top", func(pid int) []string { return []string{"r", strconv.Itoa(pid), "Enter", "7", "Enter"} }, "ps -o ni= $0", "7"},
		{"htop F9", "htop -d 5 --filter='sleep 520001'", func(int) []string { return []string{"Home", "F9", "1", "9", "Enter"} }, "ps -o state= $0", "T"},
		{"htop F8", "htop -d 5 --filter='sleep 520001'", func(int) []string { return []string{"Home", "F8"} }, "ps -o ni= $0", "1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s.t = t
			pid, err := n.Spawn(cluster.Process{Argv: []string{"sleep", "520001"}})
			if err != nil {
				t.Fatal(err)
			}
			defer s.onNode(n, "sh", "-c", "kill -KILL $0", strconv.Itoa(pid))
			s.onNode(n, "sh", "-c", "renice -n 0 -p $0 >/dev/null", strconv.Itoa(pid))
			socket := filepath.Join(t.TempDir(), "tmux")
			tmux := func(args ...string) string {
				cmd := exec.Command("tmux", append([]string{"-S", socket}, args...)...)
				cmd.Env = append(os.Environ(), "TERM=screen", "LC_ALL=C.UTF-8", "HOME="+t.TempDir())
				out, err := cmd.CombinedOutput()
				if err != nil && args[0] != "kill-server" {
					t.Errorf("tmux %v: %v: %s", args, err, out)
				}
				return string(out)
			}
			command := fmt.Sprintf("%s exec --server %s --nodes n1 -- %s", filepath.Join(bin, "aggrfs"), s.server, test.program)
			tmux("new-session", "-d", "-x", "200", "-y", "60", command)
			defer tmux("kill-server")
			screen := ""
			wait.For(t, "it shows the process", func() error {
				screen = tmux("capture-pane", "-p")
				if !strings.Contains(screen, strconv.Itoa(gpidOf(1, pid))) {
					return fmt.Errorf("the screen is\n%s", screen)
				}
				return nil
			})
			for _, key := range test.keys(gpidOf(1, pid)) {
				tmux("send-keys", key)
			}
			err = wait.Poll(t.Context(), func() error {
				out, err := output(n.Command(t.Context(), "sh", "-c", test.look, strconv.Itoa(pid)))
				if got := strings.TrimSpace(out); err != nil || got != test.want {
					return fmt.Errorf("%w: %q, want %q; the screen is\n%s", err, got, test.want, tmux("capture-pane", "-p"))
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
}
