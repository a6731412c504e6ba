package cachepolicy

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/internal/procfile"
)

func mustRead(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func cut(text string) (first, rest string, found bool) { return strings.Cut(text, "\n") }

// policy parses rules in flow style, one a line.
func policy(t testing.TB, rules ...string) *Policy {
	t.Helper()
	p, err := Parse("policy.yaml", []byte("version: 1\nrules:\n  - "+strings.Join(rules, "\n  - ")+"\n"))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestSweep(t *testing.T) {
	p := Sweep(3 * time.Second)
	got := slices.Sorted(slices.Values(p.Prefetch()))
	if want := []string{"cmdline", "stat", "statm", "status"}; !slices.Equal(got, want) || p.Table() != 3*time.Second {
		t.Errorf("a sweep brings %v for %v", got, p.Table())
	}
	if r := p.Rule("n1", "12/stat"); r.Cache.For() != 3*time.Second || p.Rule("n1", "12/maps").Cache != Never {
		t.Errorf("stat has %v", r)
	}
}

// The default policy has no mistake, a reason for each rule, and is what the
// documents promise.
func TestDefault(t *testing.T) {
	p := Default()
	if w := p.Warnings(); len(w) > 0 {
		t.Error(strings.Join(w, "\n"))
	}
	if got := slices.Sorted(slices.Values(p.Prefetch())); !slices.Equal(got, []string{"cmdline", "stat", "statm", "status"}) || p.Table() != time.Second {
		t.Errorf("a sweep brings %v for %v", got, p.Table())
	}
	for _, r := range p.Rules {
		if len(r.Why) < 20 && r.Line > 0 {
			t.Errorf("line %d: the reason is %q", r.Line, r.Why)
		}
	}
	for path, want := range map[string]Cache{
		"1/maps": Never, "77/smaps_rollup": Never, "1/task/2/smaps": Never, "1/fd/3": Never, "1/io": Never, "kallsyms": Never, "keys": Never,
		"sys/kernel/pid_max": Never, "unheard/of": Never, "1": Never,
		"1/status": Cache(time.Second), "4194304/environ": Cache(time.Second), "1/cgroup": Cache(time.Second), "1/task/2/stat": Cache(time.Second),
		"1/cmdline": Cache(30 * time.Second), "version": Lifetime, "meminfo": Cache(time.Second), "net/dev": Cache(time.Second),
	} {
		if r := p.Rule("n1", path); r.Cache != want {
			t.Errorf("%s: %v (line %d), want %v", path, r.Cache, r.Line, want)
		}
	}
	for _, name := range procfile.Process.Names() {
		if procfile.Guarded(name) == "" {
			continue
		}
		if r := p.Rule("n1", "1/"+name); r.Cache.For() > 10*time.Second {
			t.Errorf("%s, which is guarded, is kept for %v", name, r.Cache)
		}
	}
}

// TestFirstWins compares what the index finds with the rules one by one, for every
// path twice, with more paths than the memo has places.
func TestFirstWins(t *testing.T) {
	p := policy(t,
		`{match: "<pid>/{stat,status}", cache: 1s, nodes: "n[1-3]"}`,
		`{match: "<pid>/s*", cache: 2s, nodes: n3}`,
		`{match: "**/{status,x*}", cache: 3s}`,
		`{match: "<pid>/task/<tid>/**", cache: 4s}`,
		`{match: "<pid>/**/a", cache: 5s}`,
		`{match: "*", cache: 6s}`,
		`{match: "fd/*/{status,q}", cache: 7s}`,
	)
	linear := func(node, path string) *Rule {
		for _, r := range p.Rules {
			if r.Nodes.Has(node) && r.Match.Match(path) {
				return r
			}
		}
		return nil
	}
	names := []string{"stat", "status", "smaps", "a", "xy", "q", "1", "0", "01", "12345678901", "fd", "task"}
	for i := range 2 * memoPlaces {
		names = append(names, fmt.Sprintf("x%d", i))
	}
	for range 2 {
		for i, name := range names {
			for _, dir := range []string{"", "1/", "4194304/", "9/task/8/", "9/task/", "fd/3/", "n/" + names[i/2] + "/"} {
				for _, node := range []string{"n1", "n3", "m"} {
					path := dir + name
					want := linear(node, path)
					if got := p.Rule(node, path); got != want {
						t.Fatalf("%s on %s: line %d, want %d", path, node, got.Line, want.Line)
					}
					if rest, in := strings.CutPrefix(path, "9/"); in && p.ruleWithin(node, rest) != want {
						t.Fatalf("%s on %s, within the process: not line %d", path, node, want.Line)
					}
				}
			}
		}
	}
}

func TestNoAllocation(t *testing.T) {
	p := Default()
	paths := []string{"1/status", "12/task/3/stat", "meminfo", "net/tcp", "7/" + strings.Repeat("long/", 40) + "path"}
	look := func() {
		for _, path := range paths {
			p.Rule("n1", path)
		}
	}
	look()
	if n := testing.AllocsPerRun(100, look); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestExplain(t *testing.T) {
	p := Default()
	for path, want := range map[string]string{
		"<pid>/environ":    "cached for 1s, counted from when the node was asked|fetched when it is opened, once for all who read it meanwhile|cached for each reader apart: it is shown to those only who may trace the process|shown for 10s more, as stale, while the node does not answer|an answer such as \"no such file\" is cached for 1s",
		"/proc/123/maps":   "never cached: each open asks the node",
		"version":          "cached until the node is booted again|fetched when it is opened, once for all who read it meanwhile",
		"1/task/<tid>/fd/": "never cached: each open asks the node",
	} {
		e, err := p.Explain("", path)
		if got := strings.Join(e.Effect(), "|"); err != nil || got != want {
			t.Errorf("%s: %q, %v", path, got, err)
		}
	}
	p = policy(t, `{match: meminfo, cache: 2s, nodes: "n[1-3]"}`, `{match: "*", cache: 5s}`)
	for node, want := range map[string]string{"": "5s 1", "n2": "2s 0", "n4": "5s 0"} {
		e, err := p.Explain(node, "meminfo")
		if got := fmt.Sprint(e.Rule.Cache, " ", len(e.Elsewhere)); err != nil || got != want {
			t.Errorf("meminfo on %q: %s, %v; want %s", node, got, err, want)
		}
	}
	for _, path := range []string{"", "a//b", "<pid>/*", "../x", "{a,b}"} {
		if _, err := p.Explain("", path); err == nil {
			t.Errorf("%q is explained", path)
		}
	}
}
