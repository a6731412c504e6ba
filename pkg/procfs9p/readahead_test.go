package procfs9p

import (
	"context"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/aggrfs/aggrfs/pkg/snapshot"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// readAheadFor are files of all processes as who reads them.
func readAheadFor(t testing.TB, l *Leaf, who vfs.Identity, files ...string) *snapshot.Table {
	t.Helper()
	h, _, err := vfs.OpenPath(t.Context(), attach(t, l, who, ReadAheadName), snapshot.SweepFile)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	table, err := snapshot.Fetch(t.Context(), h.(snapshot.RPC), snapshot.Request{Files: files, Remember: true}, nil, snapshot.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// one is a file of a process, or a link's text, by itself.
func one(ctx context.Context, root vfs.Dir, pid int, name string) (string, error) {
	path := append([]string{strconv.Itoa(pid)}, strings.Split(name, "/")...)
	found, _, err := vfs.WalkPath(ctx, root, path...)
	if err != nil {
		return "", err
	}
	if link, ok := found.(vfs.Link); ok {
		return link.Readlink(ctx)
	}
	content, err := vfs.ReadFile(ctx, root, 1<<20, path...)
	return string(content), err
}

// TestReadAheadRights holds what is read ahead for each reader of each kind of process against
// what the same reader gets file by file, errors too; TestRights has that against the kernel.
func TestReadAheadRights(t *testing.T) {
	files := []string{
		"environ", "exe", "cgroup", "ns/net", "ns/user", "cwd", "root", "auxv", "limits", "personality", "syscall", "wchan", "comm",
		"maps", "cmdline", "mountinfo", "stack", "timerslack_ns", "uid_map", "smaps_rollup", "mem", "no such file",
	}
	pids := zoo(t)
	for _, options := range []string{"", "hidepid=1", "hidepid=2,gid=" + strconv.Itoa(gidShared), "hidepid=4"} {
		l := newLeaf(t, Config{Root: mountProc(t, options)})
		for who, id := range readers {
			root := attach(t, l, id, "")
			table := readAheadFor(t, l, id, files...)
			shown, refused := 0, 0
			for name, pid := range pids {
				_, err := root.Walk(t.Context(), strconv.Itoa(pid))
				i, ok := table.Find(int32(pid))
				if ok != (err == nil) {
					t.Errorf("%q, %s: %s is there: %v, walked to: %v", options, who, name, ok, err)
				}
				if !ok {
					continue
				}
				if n, err := root.Walk(t.Context(), strconv.Itoa(pid)); err != nil || table.ID(i) != n.ID() {
					t.Errorf("%q, %s: %s has another number: %v", options, who, name, err)
				}
				for k, file := range files {
					got, errno := table.File(i, k)
					want, err := one(t.Context(), root, pid, file)
					// A thread of the kernel does what it does, and how much memory is shared is others' matter.
					same := string(got) == want || name == "kernel thread" || file == "smaps_rollup"
					if errno != vfs.Errno(err) || errno == 0 && !same {
						t.Errorf("%q, %s: %s of %s is %q, %v; by itself %q, %v", options, who, file, name, got, errno, want, err)
					}
					switch errno {
					case 0:
						shown++
					case syscall.EACCES, syscall.EPERM:
						refused++
					}
				}
			}
			if !id.IsRoot() && options == "" && (shown == 0 || refused == 0) {
				t.Errorf("%s is shown %d files and refused %d", who, shown, refused)
			}
			if _, ok := table.Find(int32(os.Getpid())); ok != id.IsRoot() {
				t.Errorf("%q, %s: the leaf's own process is there: %v", options, who, ok)
			}
			if table.Generation() != 0 {
				t.Error("it is remembered")
			}
		}
	}
}

// TestReadAheadKeepsRights: what runs after a sweep with a requester's rights has the leaf's own,
// and sweeps for several requesters at a time do not mix.
func TestReadAheadKeepsRights(t *testing.T) {
	a, b := quiet(t, becomes(userA)), quiet(t, becomes(userB))
	l := newLeaf(t, Config{})
	type result struct {
		who   vfs.Identity
		table *snapshot.Table
	}
	const rounds = 8
	results := make(chan result)
	for range rounds {
		for _, who := range []vfs.Identity{userA, userB, vfs.Root} {
			go func() {
				s := session{leaf: l, who: who}
				answer, err := s.readAhead(t.Context(), snapshot.Request{Files: []string{"environ"}})
				if err != nil {
					t.Error(err)
					results <- result{}
					return
				}
				table, err := snapshot.Decode(nil, answer, snapshot.Limits{})
				if err != nil {
					t.Error(err)
				}
				results <- result{who, table}
			}()
		}
	}
	for range 3 * rounds {
		r := <-results
		if r.table == nil {
			continue
		}
		for pid, owner := range map[int]vfs.Identity{a: userA, b: userB} {
			i, ok := r.table.Find(int32(pid))
			if !ok {
				t.Errorf("user %d has no process %d", r.who.UID, pid)
				continue
			}
			want := syscall.EACCES
			if r.who.IsRoot() || r.who.UID == owner.UID {
				want = 0
			}
			if _, errno := r.table.File(i, 0); errno != want {
				t.Errorf("environ of user %d's for user %d: %v", owner.UID, r.who.UID, errno)
			}
		}
	}
	if _, err := one(t.Context(), attach(t, l, vfs.Root, ""), a, "environ"); err != nil {
		t.Errorf("root afterwards: %v", err)
	}
}
