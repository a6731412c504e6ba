package e2e

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/aggrfs/aggrfs/test/cluster"
	"github.com/aggrfs/aggrfs/test/wait"
)

// unitCgroups is where the hierarchy is mounted in which libsystemd looks for units.
func unitCgroups(t *testing.T) string {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{" - cgroup2 ", "name=systemd"} {
		for line := range strings.Lines(string(mounts)) {
			if strings.Contains(line, kind) {
				return strings.Fields(line)[4]
			}
		}
	}
	t.Fatal("neither cgroup v2 nor the hierarchy name=systemd of v1 is mounted: mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified")
	return ""
}

// putInto moves a process, by the host's pid, into a cgroup, which it makes.
func putInto(t *testing.T, root, path string, pid int) {
	t.Helper()
	dir := filepath.Join(root, path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0); err != nil {
		t.Fatal(err)
	}
}

// removeCgroups removes the cgroups at root whose names begin with prefix. Processes
// that have been killed stay in theirs for a moment.
func removeCgroups(t *testing.T, root, prefix string) {
	tops, _ := filepath.Glob(filepath.Join(root, prefix+"*"))
	for _, top := range tops {
		var dirs []string
		filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				dirs = append(dirs, path)
			}
			return nil
		})
		slices.Reverse(dirs)
		for _, dir := range dirs {
			// Processes that have ended leave it a moment later.
			if err := wait.Poll(context.Background(), func() error { return syscall.Rmdir(dir) }); err != nil {
				t.Errorf("%s: %v", dir, err)
			}
		}
	}
}

// systemdColumns are what ps has from libsystemd.
const systemdColumns = "pid=,unit:100=,uunit:100=,slice:100=,lsession:20=,ouid:20="

// systemdRows are the rows of "ps -o systemdColumns" by pid.
func systemdRows(out string) map[string]string {
	rows := map[string]string{}
	for line := range strings.Lines(out) {
		if f := strings.Fields(line); len(f) > 1 {
			rows[f[0]] = strings.Join(f[1:], " ")
		}
	}
	return rows
}

// What ps has from libsystemd (unit, slice, session, owner) is of a process of another
// node what ps says there, and of one of the head what it says natively; and a job is
// found by the cgroup, but none that a user can have named.
func TestCgroups(t *testing.T) {
	root := unitCgroups(t)
	top := fmt.Sprintf("aggrfse2e%d", os.Getpid())
	t.Cleanup(func() { removeCgroups(t, root, top) })
	// Below %s, which is a slice. The last two are in no slice.
	places := []struct{ path, job string }{
		{"%s.slice/user-1001.slice/session-2.scope", "-"},
		{"%s.slice/user-1001.slice/user@1001.service/app.slice/editor.service", "-"},
		{"%s.slice/%[1]s-sub.slice/getty@tty1.service/inner", "-"},
		{"%s.slice/no-unit", "-"},
		{"%s.slice/n1_slurmstepd.scope/job_42/step_0/user/task_0", "42"},
		{"%s.slice/slurmstepd.scope/sEKNKTV3WPV500/step_batch/user/task_0", "sEKNKTV3WPV500"},
		{"%s.slice/user-1001.slice/user@1001.service/slurmstepd.scope/job_99/step_0/user/task_0", "-"},
		{"%s.service", "-"},
		{"%s-no-unit", "-"},
	}
	s := newSite(t, cluster.Options{Nodes: 2}, "views: [{users: \"1001\", nodes: n1, processes: own}]\n")
	jobs := map[string]string{}
	for i, n := range s.cluster.Nodes {
		for _, p := range places {
			pid, err := n.Spawn(cluster.Process{UID: cluster.Alice, GID: cluster.Alice, Argv: []string{"sleep", "500000"}})
			if err != nil {
				t.Fatal(err)
			}
			host, err := n.HostPID(pid)
			if err != nil {
				t.Fatal(err)
			}
			putInto(t, root, fmt.Sprintf(p.path, top), host)
			jobs[gpid(i+1, strconv.Itoa(pid))] = p.job
		}
	}
	var ours []string
	for _, p := range places {
		sleep := exec.Command("sleep", "500000")
		if err := sleep.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { sleep.Process.Kill(); sleep.Wait() })
		putInto(t, root, fmt.Sprintf(p.path, top), sleep.Process.Pid)
		ours = append(ours, strconv.Itoa(sleep.Process.Pid))
		jobs[strconv.Itoa(sleep.Process.Pid)] = p.job
	}

	// On the nodes, and here. libsystemd looks at /sys/fs/cgroup, which the nodes' own
	// root directories have not: ps runs below the host's, on the node's procfs.
	want := map[string]string{}
	for i, n := range s.cluster.Nodes {
		out, err := output(exec.Command("nsenter", "--target", strconv.Itoa(n.InitPID), "--pid", "--time", "--",
			"unshare", "--mount", "sh", "-c", `mount -t proc proc /proc && exec "$0" "$@"`, "ps", "-eo", systemdColumns))
		if err != nil {
			t.Fatal(err)
		}
		for pid, row := range systemdRows(out) {
			want[gpid(i+1, pid)] = row
		}
	}
	natively, err := output(exec.Command("ps", "-o", systemdColumns, "-p", strings.Join(ours, ",")))
	if err != nil {
		t.Fatal(err)
	}
	for pid, row := range systemdRows(natively) {
		want[pid] = row
	}
	compare := func(what, out string, atLeast int) {
		t.Helper()
		compared := 0
		for pid, row := range systemdRows(out) {
			if w, ok := want[pid]; ok && (len(pid) > 7 || slices.Contains(ours, pid)) {
				compared++
				if row != w {
					t.Errorf("%s: %s is %q, natively %q", what, pid, row, w)
				}
			}
		}
		if compared < atLeast {
			t.Errorf("%s: only %d of %d processes were compared", what, compared, len(want))
		}
	}
	if !strings.Contains(natively, "session-2.scope") || !strings.Contains(natively, "1001") {
		t.Fatalf("ps has nothing from libsystemd here:\n%s", natively)
	}
	each := len(places)
	compare("exec", s.onAll("ps", "-eo", systemdColumns), 3*each)
	compare("exec --nodes", s.onTree("ps", "-eo", systemdColumns), 2*each)
	alone, err := output(exec.Command(filepath.Join(bin, "aggrfs"), "exec", "--config", s.config, "--nodes", "n[1-2]", "--", "ps", "-eo", systemdColumns))
	if err != nil {
		t.Fatal(err)
	}
	compare("exec without a server", alone, 2*each)
	t.Run("own", func(t *testing.T) {
		s.t = t
		s.openToAll()
		out, err := s.asUser(alice, "exec", "--server", s.server, "--", "ps", "-eo", systemdColumns)
		if err != nil {
			t.Fatal(err)
		}
		compare("alice's exec", out, each)
	})

	// The path begins with the node, but for the head's.
	for line := range strings.Lines(s.onAll("ps", "-o", "pid=,cgroup:1000=", "-p", strings.Join(slices.Collect(maps.Keys(jobs)), ","))) {
		pid, path, _ := strings.Cut(strings.TrimSpace(line), " ")
		if prefix := ":/n" + pid[:1] + ".slice/"; len(pid) > 7 != strings.Contains(path, prefix) {
			t.Errorf("%s: no path below %q: %s", pid, prefix, path)
		}
	}
	out, err := s.aggrfs("ps", "--no-headers", "-o", "pid,job")
	if err != nil {
		t.Fatal(err)
	}
	found := systemdRows(out)
	for pid, job := range jobs {
		if found[pid] != job {
			t.Errorf("%s is in job %q, not %q", pid, found[pid], job)
		}
	}
	// Units are those of ps, where it knows one.
	units := make(map[string]string)
	if out, err = s.aggrfs("ps", "--no-headers", "-o", "pid,unit"); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(out) {
		if f := strings.Fields(line); len(f) == 2 {
			units[f[0]] = f[1]
		}
	}
	for line := range strings.Lines(s.onAll("ps", "-o", "pid=,unit:200=", "-p", strings.Join(slices.Collect(maps.Keys(jobs)), ","))) {
		if f := strings.Fields(line); len(f) == 2 && units[f[0]] != f[1] {
			t.Errorf("%s is in unit %q, not %q", f[0], units[f[0]], f[1])
		}
	}
	// --job has the processes of a job and no others, and so has an expression.
	for _, job := range slices.Compact(slices.Sorted(maps.Values(jobs))) {
		if job == "-" {
			continue // that is none
		}
		for _, args := range [][]string{{"--job", job}, {"--where", "job == " + strconv.Quote(job)}} {
			out, err := s.aggrfs("ps", append([]string{"--no-headers", "-o", "pid"}, args...)...)
			if err != nil {
				t.Errorf("%q: %v", args, err)
			}
			got := strings.Fields(out)
			for pid, of := range jobs {
				if slices.Contains(got, pid) != (of == job) {
					t.Errorf("%q: %s of job %q is among %q", args, pid, of, got)
				}
			}
		}
	}
}
