package procfile

import (
	"bytes"
	"os"
	"strconv"
	"strings"
	"testing"
)

func testMap() *Map {
	return &Map{
		PID:        func(n int64) int64 { return 120000000 + n },
		StartShift: 500,
		HzFrom:     100, HzTo: 100, PageFrom: 4096, PageTo: 4096,
		CgroupSlice: "n12.slice",
	}
}

func TestFiles(t *testing.T) {
	scaled := testMap()
	scaled.HzFrom, scaled.PageFrom = 1024, 65536
	early := testMap()
	early.StartShift = -10000
	const tail = " 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 2048 20 21 22 23 24 25 26 0\n"
	for _, tc := range []struct {
		name    string
		f       RewriteFunc
		m       *Map
		in, out string
		bad     bool
	}{
		{name: "stat", f: rewriteStat,
			in:  "7 (a) S 1 7 7 0 -1 4194560 1 2 3 4 10 20 30 40 20 0 1 0 99 8192 200 18446744073709551615 1" + tail,
			out: "120000007 (a) S 120000001 120000007 120000007 0 -1 4194560 1 2 3 4 10 20 30 40 20 0 1 0 599 8192 200 18446744073709551615 1" + tail},
		{name: "stat with a hostile name", f: rewriteStat,
			in:  "7 (a) R 1 (\n) S 1 0 0 0 7 0 1 2 3 4 10 20 30 40 20 0 1 0 99 8192 200 1",
			out: "120000007 (a) R 1 (\n) S 120000001 0 0 0 120000007 0 1 2 3 4 10 20 30 40 20 0 1 0 599 8192 200 1"},
		{name: "stat scaled", f: rewriteStat, m: scaled,
			in:  "7 (a) S 1 7 7 0 -1 0 1 2 3 4 1024 2048 512 0 20 0 1 0 10240 8192 2 1" + tail,
			out: "120000007 (a) S 120000001 120000007 120000007 0 -1 0 1 2 3 4 100 200 50 0 20 0 1 0 1500 8192 32 1" + strings.Replace(tail, " 16 17 18 ", " 1 1 1 ", 1)},
		{name: "stat before the reader's boot", f: rewriteStat, m: early,
			in:  "7 (a) S 0 0 0 0 -1 0 1 2 3 4 1 1 1 0 20 0 1 0 10 8192 2 1",
			out: "120000007 (a) S 0 0 0 0 -1 0 1 2 3 4 1 1 1 0 20 0 1 0 0 8192 2 1"},
		{name: "stat cut short", f: rewriteStat, in: "7 (a) S 1 7 7", bad: true},
		{name: "stat of an impossible pid", f: rewriteStat, in: "9000000 (a) S 1 7 7 0 -1 0 1 2 3 4 1 1 1 0 20 0 1 0 10 8192 2 1", bad: true},
		{name: "stat without a name", f: rewriteStat, in: "7 a S", bad: true},
		{name: "statm", f: statmFile.Rewrite, m: scaled, in: "1 2 3 0 4 5 0\n", out: "16 32 48 0 64 80 0\n"},
		{name: "status", f: rewriteStatus,
			in:  "Name:\ta\\nPid:\t3\nTgid:\t7\nNgid:\t0\nPid:\t8\nPPid:\t1\nTracerPid:\t9\nNStgid:\t7\t1\nNSpid:\t8\t2\nNSpgid:\t7\nNSsid:\t0\nVmRSS:\t 12 kB\n",
			out: "Name:\ta\\nPid:\t3\nTgid:\t120000007\nNgid:\t0\nPid:\t120000008\nPPid:\t120000001\nTracerPid:\t120000009\nNStgid:\t120000007\t1\nNSpid:\t120000008\t2\nNSpgid:\t120000007\nNSsid:\t0\nVmRSS:\t 12 kB\n"},
		{name: "status that lies", f: rewriteStatus, in: "Pid:\t99999999\nTgid:\tx\n", out: "Pid:\t0\nTgid:\t0\n"},
		{name: "cgroup", f: rewriteCgroup, in: "4:memory:/a:b/c\n3:pids:/\n0::/system.slice/x.service\n", out: "4:memory:/n12.slice/a:b/c\n3:pids:/n12.slice\n0::/n12.slice/system.slice/x.service\n"},
		{name: "cgroup in no slice", f: rewriteCgroup, in: "1:name=systemd:/\n0::/init.scope\n", out: "1:name=systemd:/n12.slice/-.slice\n0::/n12.slice/-.slice/init.scope\n"},
		{name: "cgroup out of a namespace", f: rewriteCgroup, in: "4:memory:/../..\n0::/../../user.slice\n", out: "4:memory:/n12.slice\n0::/n12.slice/user.slice\n"},
		{name: "cgroup that lies", f: rewriteCgroup, in: "0::x\n:\n\n0:/y", out: "0::x\n:\n\n0:/y"},
		{name: "children", f: rewriteChildren, in: "7 8 ", out: "120000007 120000008 "},
		{name: "no children", f: rewriteChildren},
		{name: "children that lie", f: rewriteChildren, in: "x ", bad: true},
		{name: "sched", f: rewriteSched, in: "a (1, #threads: 9) b (7, #threads: 1)\n------\nse.x : 1\n", out: "a (1, #threads: 9) b (120000007, #threads: 1)\n------\nse.x : 1\n"},
		{name: "sched of a NUMA group", f: rewriteSched, in: "a (7, #threads: 1)\n------\nse.x : 1\ncurrent_node=0, numa_group_id=8\nnuma_faults node=0\n", out: "a (120000007, #threads: 1)\n------\nse.x : 1\ncurrent_node=0, numa_group_id=120000008\nnuma_faults node=0\n"},
		{name: "sched of no NUMA group", f: rewriteSched, in: "numa_group_id=5 (7, #threads: 1)\n---\ncurrent_node=0, numa_group_id=0\n", out: "numa_group_id=5 (120000007, #threads: 1)\n---\ncurrent_node=0, numa_group_id=0\n"},
		{name: "fdinfo of an io_uring", f: rewriteFdinfo, in: "SqThread:\t9\nSqThreadCpu:\t1\nSqThread:\t-1\n", out: "SqThread:\t120000009\nSqThreadCpu:\t1\nSqThread:\t-1\n"},
		{name: "fdinfo", f: rewriteFdinfo,
			in:  "pos:\t0\nPid:\t7\nNSpid:\t7\t1\nlock:\t1: FLOCK  ADVISORY  WRITE 7 00:1a:99 0 EOF\nlock:\t2: -> POSIX  ADVISORY  WRITE 8 00:1a:99 0 EOF\nPid:\t-1\n",
			out: "pos:\t0\nPid:\t120000007\nNSpid:\t120000007\t1\nlock:\t1: FLOCK  ADVISORY  WRITE 120000007 00:1a:99 0 EOF\nlock:\t2: -> POSIX  ADVISORY  WRITE 120000008 00:1a:99 0 EOF\nPid:\t-1\n"},
		{name: "timers", f: rewriteTimers, in: "ID: 0\nsignal: 60/0\nnotify: signal/pid.2634\n", out: "ID: 0\nsignal: 60/0\nnotify: signal/pid.120002634\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := tc.m
			if m == nil {
				m = testMap()
			}
			got, ok := tc.f(m, nil, []byte(tc.in))
			if ok == tc.bad {
				t.Fatalf("ok = %v, want %v (%q)", ok, !tc.bad, got)
			}
			if ok && string(got) != tc.out {
				t.Errorf("got  %q\nwant %q", got, tc.out)
			}
		})
	}
}

// What may not be named is 0, as what is outside of a pid namespace, and a child that may
// not be named is not listed.
func TestHidden(t *testing.T) {
	m := testMap()
	m.Shows = func(n int64, _ bool) bool { return n < 100 }
	for _, tc := range []struct {
		name    string
		f       RewriteFunc
		in, out string
	}{
		{"stat", rewriteStat, "7 (a) S 101 102 103 34816 104 0 1 2 3 4 1 1 1 0 20 0 1 0 10 8192 2 1\n", "120000007 (a) S 0 0 0 34816 0 0 1 2 3 4 1 1 1 0 20 0 1 0 510 8192 2 1\n"},
		{"stat of a process that is shown", rewriteStat, "700 (a) S 7 8 9 0 -1 0 1 2 3 4 1 1 1 0 20 0 1 0 10 8192 2 1\n", "120000700 (a) S 120000007 120000008 120000009 0 -1 0 1 2 3 4 1 1 1 0 20 0 1 0 510 8192 2 1\n"},
		{"status", rewriteStatus,
			"Tgid:\t700\nNgid:\t101\nPid:\t701\nPPid:\t101\nTracerPid:\t102\nNStgid:\t700\t1\nNSpid:\t701\t2\nNSpgid:\t103\t4\nNSsid:\t7\t5\n",
			"Tgid:\t120000700\nNgid:\t0\nPid:\t120000701\nPPid:\t0\nTracerPid:\t0\nNStgid:\t120000700\t1\nNSpid:\t120000701\t2\nNSpgid:\t0\t0\nNSsid:\t120000007\t5\n"},
		{"status in a namespace", rewriteStatus, "NSpgid:\t0\t4\nTracerPid:\t0\n", "NSpgid:\t0\t4\nTracerPid:\t0\n"},
		{"sched", rewriteSched, "a (700, #threads: 1)\n---\ncurrent_node=0, numa_group_id=101\n", "a (120000700, #threads: 1)\n---\ncurrent_node=0, numa_group_id=0\n"},
		{"children", rewriteChildren, "7 101 8 102 ", "120000007 120000008 "},
		{"hidden children", rewriteChildren, "101 ", ""},
		{"fdinfo", rewriteFdinfo, "Pid:\t101\nNSpid:\t101\t7\nPid:\t7\nNSpid:\t7\t9\nlock:\t1: POSIX  ADVISORY  WRITE 101 00:1a:99 0 EOF\n", "Pid:\t0\nNSpid:\t0\nPid:\t120000007\nNSpid:\t120000007\t9\nlock:\t1: POSIX  ADVISORY  WRITE 0 00:1a:99 0 EOF\n"},
	} {
		if got, ok := tc.f(m, nil, []byte(tc.in)); !ok || string(got) != tc.out {
			t.Errorf("%s: ok=%v\n got %q\nwant %q", tc.name, ok, got, tc.out)
		}
	}
	if l, ok := ParseStat(m, []byte("7 (a) S 101 102 103 0 -1 0 1 2 3 4 1 1 1 0 20 0 1 0 10 8192 2 1\n")); !ok || l.PPID != 0 {
		t.Errorf("ParseStat has the parent %d", l.PPID)
	}
}

// The kernel's own files pass, and an identity map changes nothing.
func TestIdentityIsIdentity(t *testing.T) {
	same := &Map{PID: func(n int64) int64 { return n }, HzFrom: 100, HzTo: 100, PageFrom: 4096, PageTo: 4096}
	for _, file := range []string{"stat", "statm", "status", "cgroup", "sched", "timers", "task/" + strconv.Itoa(os.Getpid()) + "/children", "fdinfo/0"} {
		raw, err := os.ReadFile("/proc/self/" + file)
		if err != nil {
			t.Fatal(err)
		}
		f := Rewriter(strings.Split(file, "/"))
		if f == nil {
			t.Fatalf("%s is not rewritten", file)
		}
		got, ok := f(same, nil, raw)
		if !ok || !bytes.Equal(got, raw) {
			t.Errorf("%s: ok=%v\n got %q\nfrom %q", file, ok, got, raw)
		}
	}
}

func fuzz(f *testing.F, rw RewriteFunc, seeds ...string) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	m := testMap()
	m.PID = func(n int64) int64 {
		if n <= 0 || n > MaxPID {
			panic("a pid that no kernel gives out reached the mapping")
		}
		return 120000000 + n
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		prefix := []byte("kept")
		out, ok := rw(m, prefix, in)
		if ok && !bytes.HasPrefix(out, []byte("kept")) {
			t.Fatal("dst was not appended to")
		}
	})
}

func FuzzStat(f *testing.F) {
	fuzz(f, rewriteStat, "7 (a) S 1 7 7 0 -1 0 1 2 3 4 1 1 1 0 20 0 1 0 10 8192 2 1\n", "7 ()) ) (", "(")
}

func FuzzStatus(f *testing.F) { fuzz(f, rewriteStatus, "Name:\ta\nPid:\t7\nNSpid:\t7\t1\n", "Pid:") }

func FuzzOthers(f *testing.F) {
	f.Add([]byte("lock:\t1: -> FLOCK ADVISORY WRITE 7 00:1a:99 0 EOF\n"))
	f.Add([]byte("a (7, #threads: 1)\n---\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		for _, rw := range []RewriteFunc{statmFile.Rewrite, rewriteCgroup, rewriteChildren, rewriteSched, rewriteFdinfo, rewriteTimers} {
			rw(testMap(), nil, in)
		}
	})
}
