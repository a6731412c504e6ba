package procfile

import (
	"os"
	"testing"
)

func TestParseStat(t *testing.T) {
	const good = "7 (a) b) R 3 7 7 34816 -1 4194304 1 2 3 4 50 60 7 8 20 0 1 0 12345 1000 77 18446744073709551615 1\n"
	m := &Map{PID: func(n int64) int64 { return 1000 + n }, StartShift: 5, HzFrom: 100, HzTo: 200, PageFrom: 8192, PageTo: 4096}
	for _, c := range []struct {
		m    *Map
		want Stat
	}{
		{nil, Stat{[]byte("a) b"), 'R', 3, 34816, 110, 1, 12345, 77}},
		{m, Stat{[]byte("a) b"), 'R', 1003, 34816, 220, 1, 24695, 154}},
	} {
		l, ok := ParseStat(c.m, []byte(good))
		if !ok || string(l.Name) != string(c.want.Name) || l.State != c.want.State || l.PPID != c.want.PPID || l.TTY != c.want.TTY || l.CPU != c.want.CPU || l.Threads != c.want.Threads || l.Start != c.want.Start || l.RSS != c.want.RSS {
			t.Errorf("%+v, %v, want %+v", l, ok, c.want)
		}
	}
	for i := range len(good) {
		ParseStat(m, []byte(good[:i])) // and does not panic
	}
	for _, bad := range []string{"", "7", "7 (a", "7 (a)", "7 (a) ", "7 (a) RR 1 2", "7 (a) \x1b 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1"} {
		if l, ok := ParseStat(m, []byte(bad)); ok {
			t.Errorf("%q: %+v", bad, l)
		}
	}
	own, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		t.Fatal(err)
	}
	if l, ok := ParseStat(nil, own); !ok || l.PPID != int64(os.Getppid()) || l.RSS == 0 {
		t.Errorf("%+v, %v of %q", l, ok, own)
	}
}
