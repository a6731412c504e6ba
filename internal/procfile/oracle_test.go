package procfile

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/procfs"
)

// recorded are files of processes that not every machine has, as Linux 6.1 gives them.
var recorded = map[string]map[string]string{
	"2": {
		"stat":   "2 (kthreadd) S 0 0 0 0 -1 2129984 0 0 0 0 0 9 0 0 20 0 1 0 3 0 0 18446744073709551615 0 0 0 0 0 0 0 2147483647 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n",
		"status": "Name:\tkthreadd\nUmask:\t0000\nState:\tS (sleeping)\nTgid:\t2\nNgid:\t0\nPid:\t2\nPPid:\t0\nTracerPid:\t0\nUid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\nFDSize:\t64\nGroups:\t \nNStgid:\t2\nNSpid:\t2\nNSpgid:\t0\nNSsid:\t0\nThreads:\t1\nCapPrm:\t000001ffffffffff\n",
		"statm":  "0 0 0 0 0 0 0\n",
	},
	"813": {
		"stat":   "813 (a) S 1 (b) Z 795 812 795 34816 812 4194304 102 0 0 0 7 8 0 0 20 0 3 0 5342 0 0 18446744073709551615 0 0 0 0 0 0 0 0 0 1 0 0 17 1 0 0 11 0 0 0 0 0 0 0 0 0 256\n",
		"status": "Name:\ta) S 1 (b\nState:\tZ (zombie)\nTgid:\t813\nNgid:\t0\nPid:\t813\nPPid:\t795\nTracerPid:\t0\nUid:\t1000\t1001\t1002\t1003\nGid:\t100\t100\t100\t100\nGroups:\t4 24 \nNStgid:\t813\t5\nNSpid:\t813\t5\nNSpgid:\t812\t4\nNSsid:\t795\t0\nThreads:\t3\nCapPrm:\t0000000000000000\n",
		"statm":  "1454 229 210 5 0 112 0\n",
		"cgroup": "4:memory:/a:b/c\n0::/user.slice/user-1000.slice\n",
	},
}

// mostCompared is how many processes are compared.
const mostCompared = 200

// written is a procfs of files: the recorded ones, and those of this machine's
// processes as they were at one moment.
func written(t *testing.T) (fs procfs.FS, files map[string]map[string][]byte) {
	t.Helper()
	dir := t.TempDir()
	files = make(map[string]map[string][]byte)
	put := func(pid, name string, content []byte) {
		if files[pid] == nil {
			files[pid] = make(map[string][]byte)
			if err := os.Mkdir(filepath.Join(dir, pid), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		files[pid][name] = content
		if err := os.WriteFile(filepath.Join(dir, pid, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for pid, of := range recorded {
		for name, content := range of {
			put(pid, name, []byte(content))
		}
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		pid := e.Name()
		if _, err := strconv.Atoi(pid); err != nil || files[pid] != nil || len(files) == mostCompared {
			continue
		}
		for _, name := range []string{"stat", "status", "statm", "cgroup", "mountinfo"} {
			if content, err := os.ReadFile(filepath.Join("/proc", pid, name)); err == nil && len(content) > 0 {
				put(pid, name, content)
			}
		}
	}
	if fs, err = procfs.NewFS(dir); err != nil {
		t.Fatal(err)
	}
	return fs, files
}

// The parsers read what the field's parser reads, of the files as they are, and of
// those that were rewritten.
func TestParsersAgreeWithPrometheus(t *testing.T) {
	fs, files := written(t)
	rewritten := t.TempDir()
	m := testMap()
	for pid, of := range files {
		n, _ := strconv.Atoi(pid)
		global := strconv.Itoa(120000000 + n)
		if err := os.Mkdir(filepath.Join(rewritten, global), 0o700); err != nil {
			t.Fatal(err)
		}
		for name, content := range of {
			if rewrite := Rewriter([]string{name}); rewrite != nil {
				out, ok := rewrite(m, nil, content)
				if !ok {
					t.Fatalf("%s/%s is refused: %q", pid, name, content)
				}
				if err := os.WriteFile(filepath.Join(rewritten, global, name), out, 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	global, err := procfs.NewFS(rewritten)
	if err != nil {
		t.Fatal(err)
	}
	for pid, of := range files {
		n, _ := strconv.Atoi(pid)
		native, err1 := fs.Proc(n)
		reader, err2 := global.Proc(120000000 + n)
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		t.Run("process "+pid, func(t *testing.T) {
			if len(of["stat"]) > 0 {
				statAgrees(t, m, native, reader, of["stat"])
			}
			if len(of["status"]) > 0 {
				statusAgrees(t, native, reader, of["status"])
			}
			if len(of["cgroup"]) > 0 {
				cgroupAgrees(t, native, reader)
			}
		})
	}
}

func statAgrees(t *testing.T, m *Map, native, reader procfs.Proc, text []byte) {
	t.Helper()
	want, err := native.Stat()
	if err != nil {
		t.Fatal(err)
	}
	got, ok := ParseStat(nil, text)
	if !ok || string(got.Name) != want.Comm || string(got.State) != want.State || got.PPID != int64(want.PPID) || got.TTY != int64(want.TTY) ||
		got.CPU != int64(want.UTime+want.STime) || got.Threads != int64(want.NumThreads) || got.Start != int64(want.Starttime) || got.RSS != int64(want.RSS) {
		t.Errorf("%+v, %v; want %+v", got, ok, want)
	}
	if start, ok := StartTime(text); !ok || start != int64(want.Starttime) {
		t.Errorf("started at %d, %v", start, ok)
	}
	if !IsStatOf(strconv.Itoa(want.PID), text) || IsStatOf("1"+strconv.Itoa(want.PID), text) {
		t.Error("IsStatOf")
	}
	global, err := reader.Stat()
	if err != nil {
		t.Fatal(err)
	}
	pid := func(n int) int {
		if n > 0 {
			n += 120000000
		}
		return n
	}
	want.PID, want.PPID, want.PGRP, want.Session, want.TPGID = pid(want.PID), pid(want.PPID), pid(want.PGRP), pid(want.Session), pid(want.TPGID)
	want.Starttime += uint64(m.StartShift)
	if a, b := fmt.Sprintf("%+v", global), fmt.Sprintf("%+v", want); cutFS(a) != cutFS(b) {
		t.Errorf("rewritten: %s, want %s", a, b)
	}
	if m, ok := ParseStat(m, text); !ok || m.PPID != int64(want.PPID) || m.Start != int64(want.Starttime) {
		t.Errorf("with a map: %+v, %v", m, ok)
	}
}

// cutFS is a printed Stat without the directory that it was read from.
func cutFS(s string) string {
	before, _, _ := strings.Cut(s, " proc:")
	return before
}

func statusAgrees(t *testing.T, native, reader procfs.Proc, text []byte) {
	t.Helper()
	want, err := native.NewStatus()
	if err != nil {
		t.Fatal(err)
	}
	if n, ok := StatusNumber(text, "Tgid"); !ok || n != int64(want.TGID) {
		t.Errorf("Tgid %d, %v, want %d", n, ok, want.TGID)
	}
	uid, gid, ok := StatusOwner(text)
	if !ok || uint64(uid) != want.UIDs[1] || uint64(gid) != want.GIDs[1] {
		t.Errorf("owner %d:%d, %v, want %v %v", uid, gid, ok, want.UIDs, want.GIDs)
	}
	alone := uid != 0 && want.UIDs == [4]uint64{uint64(uid), uint64(uid), uint64(uid), uint64(uid)} &&
		want.GIDs == [4]uint64{uint64(gid), uint64(gid), uint64(gid), uint64(gid)} && want.CapPrm == 0
	if got := OwnedAlone(text, uid, gid); got != alone && isRealID(uid) && isRealID(gid) {
		t.Errorf("owned alone: %v, want %v", got, alone)
	}
	global, err := reader.NewStatus()
	if err != nil {
		t.Fatal(err)
	}
	if global.TGID != want.TGID+120000000 || global.NSpids[0] != want.NSpids[0]+120000000 || len(global.NSpids) != len(want.NSpids) ||
		global.VmRSS != want.VmRSS || global.UIDs != want.UIDs || global.CapBnd != want.CapBnd || global.Name != want.Name {
		t.Errorf("rewritten: %+v, want %+v", global, want)
	}
}

func cgroupAgrees(t *testing.T, native, reader procfs.Proc) {
	t.Helper()
	want, err := native.Cgroups()
	if err != nil {
		t.Fatal(err)
	}
	got, err := reader.Cgroups()
	if err != nil || len(got) != len(want) {
		t.Fatalf("%v, %v", got, err)
	}
	for i := range want {
		below := strings.HasPrefix(got[i].Path, "/n12.slice") && strings.HasSuffix(got[i].Path, strings.TrimSuffix(want[i].Path, "/"))
		if got[i].HierarchyID != want[i].HierarchyID || !below && !strings.Contains(want[i].Path, "/..") {
			t.Errorf("%+v of %+v", got[i], want[i])
		}
	}
}
