package procfs9p

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/aggrfs/aggrfs/pkg/snapshot"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

var queued = regexp.MustCompile(`SigQ:.*`)

// The files of all threads that come at once are what the same reader gets of each by itself,
// errors too, and their directories have the attributes and numbers that they are walked to with.
func TestThreadsRights(t *testing.T) {
	names := []string{"stat", "status", "cmdline", "environ", "comm", "exe", "wchan", "io", "mem", "no such file"}
	files := []string{snapshot.ThreadDirs}
	for _, name := range names {
		files = append(files, snapshot.ThreadDirs+"/"+name)
	}
	pids := zoo(t)
	for _, options := range []string{"", "hidepid=1", "hidepid=2,gid=" + strconv.Itoa(gidShared)} {
		l := newLeaf(t, Config{Root: mountProc(t, options)})
		for who, id := range readers {
			root := attach(t, l, id, "")
			table := readAheadFor(t, l, id, files...)
			shown, refused := 0, 0
			for name, pid := range pids {
				i, ok := table.Find(int32(pid))
				if !ok {
					continue // TestReadAheadRights has that
				}
				content, errno := table.File(i, 0)
				listed, err := root.Walk(t.Context(), strconv.Itoa(pid))
				if err == nil {
					listed, err = listed.(vfs.Dir).Walk(t.Context(), "task")
				}
				var tids []string
				if err == nil {
					for _, e := range list(t, listed.(vfs.Dir)) {
						tids = append(tids, e.Name)
					}
				}
				if vfs.Errno(err) != errno {
					t.Errorf("%q, %s: threads of %s: %v, by themselves %v", options, who, name, errno, err)
				}
				var got []string
				for th := range snapshot.Threads(content) {
					tid := strconv.Itoa(int(th.TID))
					got = append(got, tid)
					n, err := listed.(vfs.Dir).Walk(t.Context(), tid)
					if err != nil {
						t.Errorf("%q, %s: thread %s of %s: %v", options, who, tid, name, err)
						continue
					}
					a, err := n.Attr(t.Context())
					d, ok := snapshot.ParseThreadDir(th.Content)
					if err != nil || !ok || d.ID != n.ID() || d.UID != a.UID || d.GID != a.GID || d.Mode != a.Mode || d.Nlink != a.Nlink {
						t.Errorf("%q, %s: thread %s of %s is %+v; by itself %+v, %v", options, who, tid, name, d, a, err)
					}
				}
				slices.Sort(got)
				slices.Sort(tids)
				if errno == 0 && !slices.Equal(got, tids) {
					t.Errorf("%q, %s: %s has the threads %v, by themselves %v", options, who, name, got, tids)
				}
				noList := errno
				for k, file := range names {
					content, errno := table.File(i, k+1)
					if errno != 0 {
						if errno != noList && (file != "mem" || errno != syscall.ENOENT) { // never exported
							t.Errorf("%q, %s: %s of the threads of %s: %v", options, who, file, name, errno)
						}
						continue
					}
					for th := range snapshot.Threads(content) {
						want, err := one(t.Context(), root, pid, "task/"+strconv.Itoa(int(th.TID))+"/"+file)
						// How many signals are queued is counted for all processes of the user.
						same := queued.ReplaceAllString(string(th.Content), "") == queued.ReplaceAllString(want, "") || name == "kernel thread"
						if th.Errno != vfs.Errno(err) || th.Errno == 0 && !same {
							t.Errorf("%q, %s: %s of thread %d of %s is %q, %v; by itself %q, %v", options, who, file, th.TID, name, th.Content, th.Errno, want, err)
						}
						switch th.Errno {
						case 0:
							shown++
						case syscall.EACCES, syscall.EPERM:
							refused++
						}
					}
				}
			}
			if !id.IsRoot() && options == "" && (shown == 0 || refused == 0) {
				t.Errorf("%s is shown %d files and refused %d", who, shown, refused)
			}
		}
	}
}

// A request for one process brings that one.
func TestReadAheadOfOne(t *testing.T) {
	pids := zoo(t)
	l := newLeaf(t, Config{})
	pid := slices.Sorted(maps.Values(pids))[0]
	answer, err := (&session{leaf: l, who: vfs.Root}).readAhead(t.Context(), snapshot.Request{Files: []string{"stat"}, PID: int32(pid)})
	if err != nil {
		t.Fatal(err)
	}
	table, err := snapshot.Decode(nil, answer, snapshot.Limits{})
	if err != nil || table.Len() != 1 || table.PID(0) != int32(pid) {
		t.Fatalf("%v: %d processes", err, table.Len())
	}
	if stat, errno := table.File(0, 0); errno != 0 || !strings.HasPrefix(string(stat), strconv.Itoa(pid)+" (") {
		t.Errorf("%q, %v", stat, errno)
	}
}
