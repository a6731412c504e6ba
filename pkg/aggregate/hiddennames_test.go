package aggregate

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/cachepolicy"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// kin is a node on which a user's processes have kin that is root's or another user's:
// their numbers begin with 30, the user's with 20.
func kin() *fakeLeaf {
	l := newFakeLeaf()
	l.add(1, 0, 0, 1, 1)
	l.add(30050, 0, 1, 30050, 30050)
	l.add(30060, 2, 20100, 30060, 30050)
	l.add(20100, 1, 30050, 30050, 30050)
	l.add(20101, 1, 20100, 20100, 30050)
	l.change(func() {
		for _, p := range l.procs {
			task := fmt.Sprintf("task/%d/", p.pid)
			for _, name := range []string{"stat", "status"} {
				p.files[task+name] = p.files[name]
			}
			p.files[task+"children"] = "20101 30060 "
			for _, dir := range []string{"", task} {
				p.files[dir+"fdinfo/3"] = "pos:\t0\nPid:\t30060\nNSpid:\t30060\t5\nlock:\t1: POSIX  ADVISORY  WRITE 30060 00:1a:99 0 EOF\n"
				p.files[dir+"fdinfo/4"] = "pos:\t0\nPid:\t20101\nNSpid:\t20101\t5\n"
			}
		}
	})
	return l
}

// Files of what a limited view shows do not name what it does not show, on whatever road
// they are read; and they do name what it shows.
func TestHiddenAreNotNamed(t *testing.T) {
	held, err := cachepolicy.Parse("test", []byte(`
version: 1
rules:
  - {match: "<pid>/{stat,status,cmdline,statm}", cache: 1s, prefetch: true}
  - {match: "<pid>/**", cache: 1s}
`))
	if err != nil {
		t.Fatal(err)
	}
	for policy, p := range map[string]*cachepolicy.Policy{"held": held, "not held": cachepolicy.Sweep(time.Second)} {
		for _, swept := range []bool{true, false} {
			t.Run(fmt.Sprint(policy, ", swept ", swept), func(t *testing.T) {
				c := fakeCluster(t, Config{Policy: p, Access: authority(ownEverywhere)}, kin(), kin())
				bob, root := rootOf(t, c, uid(1), ""), rootOf(t, c, vfs.Root, "")
				if swept {
					names(t, root)
					read(t, root, "cluster", "ps") // its lines are kept for all
				}
				for _, dir := range [][]string{{"20100"}, {"head:20100"}, {"n1:20100"}, {strconv.Itoa(gpid.Stride + 20100)}, {"nodes", "n1", "20100"}, {"nodes", "head", "20100"}, {"users", "1", "n1:20100"}, {"sets", "n1", "n1:20100"}} {
					tid := dir[len(dir)-1]
					if _, pid, ok := strings.Cut(tid, ":"); ok {
						n, _ := strconv.Atoi(pid)
						if tid = pid; strings.HasPrefix(dir[len(dir)-1], "n1") {
							tid = strconv.Itoa(gpid.Stride + n)
						}
					}
					me := map[bool]string{true: tid, false: "20100"}[dir[0] != "nodes"]
					for _, file := range []string{"stat", "status", "task/" + tid + "/stat", "task/" + tid + "/status", "task/" + tid + "/children", "fdinfo/3", "fdinfo/4", "task/" + tid + "/fdinfo/3"} {
						path := append(append([]string{}, dir...), strings.Split(file, "/")...)
						got := read(t, bob, path...)
						if strings.Contains(got, "30") {
							t.Errorf("%v names what is hidden:\n%s", path, got)
						}
						child := strings.TrimSuffix(me, "0") + "1"
						if strings.HasSuffix(file, "children") && got != child+" " {
							t.Errorf("%v is %q, want the child %s", path, got, child)
						}
						if file == "fdinfo/4" && !strings.Contains(got, "Pid:\t"+child+"\nNSpid:\t"+child+"\t5") {
							t.Errorf("%v is %q", path, got)
						}
						if strings.HasSuffix(file, "status") && !strings.Contains(got, "\nPid:\t"+me+"\n") {
							t.Errorf("%v is %q", path, got)
						}
						if full := read(t, root, path...); file != "fdinfo/4" && dir[0] != "users" && !strings.Contains(full, "30") {
							t.Errorf("root: %v names nobody:\n%s", path, full)
						}
					}
				}
				child := read(t, bob, "n1:20101", "stat")
				if f := strings.Fields(child); f[3] != strconv.Itoa(gpid.Stride+20100) || f[4] != f[3] || f[5] != "0" {
					t.Errorf("the parent and process group are shown, the session not: %s", child)
				}
				for _, aname := range []string{"", "/users/1", "/sets/n1"} {
					root := rootOf(t, c, uid(1), aname)
					for _, name := range names(t, root) {
						if _, isPID := gpid.Parse(name); !isPID {
							continue
						}
						for _, file := range []string{"stat", "status"} {
							if text := read(t, root, name, file); strings.Contains(text, "30050") || strings.Contains(text, "30060") {
								t.Errorf("the root %q: %s of %s names what is hidden:\n%s", aname, file, name, text)
							}
						}
					}
				}
				ps := read(t, bob, "cluster", "ps")
				want := map[string]string{"20100": "0", "20101": "20100", strconv.Itoa(gpid.Stride + 20100): "0", strconv.Itoa(gpid.Stride + 20101): strconv.Itoa(gpid.Stride + 20100)}
				for line := range strings.Lines(ps) {
					if f := strings.Fields(line); f[2] != "GPID" && want[f[2]] != f[3] {
						t.Errorf("cluster/ps: parent of %s is %s, want %s", f[2], f[3], want[f[2]])
					}
				}
				if n := strings.Count(ps, "\n"); n != 5 {
					t.Errorf("cluster/ps has %d lines\n%s", n, ps)
				}
				if all := read(t, root, "cluster", "ps"); !strings.Contains(all, strconv.Itoa(gpid.Stride+30050)) {
					t.Errorf("root's cluster/ps:\n%s", all)
				}
			})
		}
	}
}

// A child is named as soon as it is there, though the table has not got it yet.
func TestNewChildIsNamed(t *testing.T) {
	l := kin()
	c := fakeCluster(t, Config{Policy: cachepolicy.Sweep(time.Hour), Access: authority(ownEverywhere)}, newFakeLeaf(), l)
	bob := rootOf(t, c, uid(1), "")
	names(t, bob)
	l.add(20102, 1, 20100, 20100, 30050)
	l.add(30061, 2, 20100, 20100, 30050)
	l.change(func() {
		for _, p := range l.procs {
			p.files[fmt.Sprintf("task/%d/children", p.pid)] = "20101 20102 30061 "
		}
	})
	g := gpid.Stride + 20100
	if got, want := read(t, bob, strconv.Itoa(g), "task", strconv.Itoa(g), "children"), fmt.Sprintf("%d %d ", g+1, g+2); got != want {
		t.Errorf("children are %q, want %q", got, want)
	}
}

// What a file names can come to be hidden while the process itself does not change: then
// it is not what it was.
func TestStateOfNames(t *testing.T) {
	l := kin()
	c := fakeCluster(t, Config{Policy: cachepolicy.Sweep(time.Second), Access: authority(ownEverywhere)}, newFakeLeaf(), l)
	bob := rootOf(t, c, uid(1), "")
	names(t, bob)
	n := c.node("n1")
	file, _, err := vfs.WalkPath(t.Context(), bob, "n1:20101", "stat")
	if err != nil {
		t.Fatal(err)
	}
	state := func() uint64 {
		t.Helper()
		state, ok := file.(vfs.Stater).State()
		if !ok {
			t.Fatal("the state is not known")
		}
		return state
	}
	before, was := read(t, bob, "n1:20101", "stat"), state()
	if again := state(); again != was {
		t.Errorf("the state is %d, was %d, and nothing has changed", again, was)
	}
	l.change(func() {
		for i := range l.procs {
			if l.procs[i].pid == 20100 {
				l.procs[i].uid = 0 // as if it had executed a set-user-ID program
			}
		}
	})
	if _, err := n.Newer(t.Context(), n.Now()); err != nil {
		t.Fatal(err)
	}
	if after := read(t, bob, "n1:20101", "stat"); after == before {
		t.Errorf("its parent has become hidden, and stat is still %q", after)
	}
	if state() == was {
		t.Error("its state is what it was")
	}
}

// The kernel's own files: a user's process whose parent is root's.
func TestHiddenParent(t *testing.T) {
	c := newTestCluster(t, Config{Access: authority(ownEverywhere)}, "n1")
	pid := sleeper(t, 1)
	bob := rootOf(t, c, uid(1), "")
	names(t, bob)
	for _, dir := range [][]string{{strconv.Itoa(pid)}, {strconv.Itoa(gpid.Stride + pid)}, {"nodes", "n1", strconv.Itoa(pid)}} {
		tid := dir[len(dir)-1]
		for _, below := range [][]string{nil, {"task", tid}} {
			path := append(append([]string{}, dir...), below...)
			if status := read(t, bob, append(path, "status")...); !strings.Contains(status, "\nPPid:\t0\n") || !strings.Contains(status, "\nPid:\t"+tid+"\n") {
				t.Errorf("%v: status is\n%s", path, status)
			}
			if stat := read(t, bob, append(path, "stat")...); !strings.HasPrefix(stat, tid+" (sleep) S 0 ") {
				t.Errorf("%v: stat is %s", path, stat)
			}
		}
	}
}
