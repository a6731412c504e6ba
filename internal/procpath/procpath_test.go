package procpath

import (
	"errors"
	"path"
	"strings"
	"testing"
)

func TestMatch(t *testing.T) {
	for _, tc := range []struct {
		pattern string
		yes, no string // paths, separated by blanks
	}{
		{"<pid>/status", "1/status 4194304/status", "self/status 1/stat 1 1/task/1/status 01/status 0/status x/status"},
		{"<pid>/task/<tid>/environ", "1/task/2/environ", "1/task/x/environ 1/environ"},
		{"<pid>/smaps*", "1/smaps 1/smaps_rollup", "1/maps 1/smap"},
		{"<pid>/{environ,cgroup,exe}", "1/environ 1/cgroup 1/exe", "1/environ,cgroup 1/comm"},
		{"**", "meminfo 1/status a/b/c", ""},
		{"**/maps", "maps 1/maps 1/task/2/maps", "1/maps/x 1/smaps"},
		{"<pid>/**", "1/a 1/a/b 1", "self/a"},
		{"<pid>/**/environ", "1/environ 1/task/7/environ", "environ x/environ"},
		{"<pid>/**/<tid>/**/x", "1/2/x 1/a/2/b/x", "1/x 1/a/x"},
		{"**/a/**/a", "a/a a/b/a x/a/a", "a"},
		{"net/*", "net/tcp", "net net/stat/x"},
		{"*a*b*", "ab xaxbx aab abb", "ba a b"},
		{"{net,sys/net}/ipv4", "net/ipv4 sys/net/ipv4", "ipv4"},
	} {
		p, err := Compile(tc.pattern)
		if err != nil {
			t.Fatalf("%s: %v", tc.pattern, err)
		}
		for _, s := range strings.Fields(tc.yes) {
			if !p.Match(s) || !p.Covers(s) || !p.Covers(s+"/below") {
				t.Errorf("%s does not stand for %s", tc.pattern, s)
			}
		}
		for _, s := range strings.Fields(tc.no) {
			if p.Match(s) {
				t.Errorf("%s stands for %s", tc.pattern, s)
			}
		}
	}
}

func TestOfProcess(t *testing.T) {
	for path, want := range map[string]string{
		"12/task/34/net": "12/net", "12/task/34/net/tcp": "12/net/tcp", "12/task/12/fd/3": "12/fd/3", "12/task/34/task/5/x": "12/task/5/x",
		"12/net": "", "12/task": "", "12/task/34": "", "12/task/34/": "", "12/task/x/net": "", "self/task/1/net": "", "task/34/net": "", "sys/task/1/x": "", "": "",
	} {
		if got, ok := OfProcess(path); got != want || ok != (want != "") {
			t.Errorf("%q: %q, %v", path, got, ok)
		}
	}
}

func TestBadPatterns(t *testing.T) {
	for pattern, offset := range map[string]int{
		"": 0, "/proc": 0, "a//b": 0, "a/../b": 2, "<pid>x/a": 0, "a/<uid>": 2, "a**": 0, "{a": 0, "a}": 1, "{a,{b}}": 0,
		strings.Repeat("{a,b}", 9): 40, strings.Repeat("a", MaxPattern+1): MaxPattern,
	} {
		_, err := Compile(pattern)
		var e *Error
		if !errors.As(err, &e) || e.Offset != offset {
			t.Errorf("%.40q: %v (%+v), want offset %d", pattern, err, e, offset)
		}
	}
}

func TestNoAllocation(t *testing.T) {
	p, err := Compile("<pid>/**/{environ,s*}")
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() { p.Match("123/task/456/status"); p.Covers("123/task/456/fd") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// Patterns without what is ours are those of path.Match.
func FuzzMatch(f *testing.F) {
	f.Add("a*b/c", "axb/c")
	f.Add("*/**", "a/b")
	f.Add("<pid>/{a,b}", "1/a")
	f.Fuzz(func(t *testing.T, pattern, name string) {
		p, err := Compile(pattern)
		if err != nil || len(name) > 200 {
			return
		}
		got := p.Match(name)
		if strings.ContainsAny(pattern, "<{[?\\") || strings.Contains(pattern, "**") {
			return
		}
		if want, err := path.Match(pattern, name); err == nil && want != got && name != "" && !strings.Contains(name, "//") {
			t.Fatalf("%q on %q: %v, path.Match says %v", pattern, name, got, want)
		}
	})
}
