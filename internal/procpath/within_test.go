package procpath

import (
	"strings"
	"testing"
	"time"
)

func compileAll(t *testing.T, texts ...string) (all []*Pattern) {
	t.Helper()
	for _, text := range texts {
		p, err := Compile(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		all = append(all, p)
	}
	return all
}

func TestWithin(t *testing.T) {
	for _, tc := range []struct {
		pattern, others string // the others separated by blanks
		want            bool
	}{
		{"<pid>/maps", "<pid>/maps", true},
		{"<pid>/maps", "**", true},
		{"<pid>/maps", "<tid>/*", true},
		{"<pid>/maps", "*/maps", true},
		{"*/maps", "<pid>/maps", false},
		{"<pid>/smaps_rollup", "<pid>/smaps*", true},
		{"<pid>/smaps*", "<pid>/smaps <pid>/smaps_rollup", false},
		{"<pid>/{maps,smaps}", "<pid>/maps <pid>/smaps", true},
		{"<pid>/{maps,smaps}", "<pid>/maps", false},
		{"<pid>", "<pid>/**", true},
		{"<pid>/**", "<pid>", false},
		{"**/maps", "<pid>/**", false},
		{"a*b*c", "a*c", true},
		{"a*c", "a*b*c", false},
		{"12", "<pid>", true},
		{"01", "<pid>", false},
		{"12345678901", "<pid>", false},
		{"net/**/x", "net/**", true},
		{"net/**", "net/* net/*/** net", true},
		{"net/**", "net/* net/*/**", false}, // net itself
		{"**", "* */**", true},
		{"*", "", false},
		{"<pid>/fd/3", "<pid>/fd/<tid>", true},
		{"x", "y z", false},
	} {
		p, others := compileAll(t, tc.pattern)[0], compileAll(t, strings.Fields(tc.others)...)
		if got := Within(p, others...); got != tc.want {
			t.Errorf("%s within %q: %v", tc.pattern, tc.others, got)
		}
	}
}

// TestWithinEnds has patterns made to take long.
func TestWithinEnds(t *testing.T) {
	start := time.Now()
	for _, tc := range []struct{ pattern, other string }{
		{"*" + strings.Repeat("{a,b}", 8), "*a" + strings.Repeat("*b", 200) + "*"},
		{strings.Repeat("*a", 400), strings.Repeat("a*", 400)},
		{strings.Repeat("**/a/", 150) + "b", strings.Repeat("**/*a*/", 120) + "b"},
	} {
		all := compileAll(t, tc.pattern, tc.other)
		Within(all[0], all[1], all[0])
		Within(all[0], all[1])
	}
	if took := time.Since(start); took > 30*time.Second {
		t.Errorf("took %v", took)
	}
}

// FuzzWithin looks for a path that disproves the answer.
func FuzzWithin(f *testing.F) {
	f.Add("<pid>/**", "**", "1/a")
	f.Add("{a*,b}", "*", "ab")
	f.Add("a*b*", "a*", "ab")
	f.Fuzz(func(t *testing.T, pattern, other, path string) {
		p, err := Compile(pattern)
		o, err2 := Compile(other)
		if err != nil || err2 != nil || len(pattern)+len(other) > 100 || path == "" || path[0] == '/' || strings.ContainsRune(path, 0) ||
			strings.Contains(path, "//") || strings.HasSuffix(path, "/") {
			return
		}
		if !Within(p, p) && len(p.alts) < 8 {
			t.Fatalf("%q is not within itself", pattern)
		}
		if Within(p, o) && p.Match(path) && !o.Match(path) {
			t.Fatalf("%q is not within %q: see %q", pattern, other, path)
		}
	})
}
