package cachepolicy

import (
	"strings"
	"testing"
	"time"
)

// TestErrors has mistakes, one a line, and what is said of each: the place, and
// the beginning of the message.
func TestErrors(t *testing.T) {
	for _, tc := range []struct{ file, want string }{
		{"", "p:1:1: version is missing in the policy\np:1:1: rules is missing in the policy"},
		{"version: 2\nrules: []", "p:1:10: version 2 of the cache policy is not known here"},
		{"version: 1\nrules: {}", "p:2:8: keys and values stand where a list"},
		{"version: 1\nmax_bites: 1MiB\nrules: []", `p:2:1: unknown key "max_bites"; did you mean "max_bytes"?`},
		{"version: 1\nmax_bytes: 1MB\nrules: []", `p:2:13: "MB" is no unit of a size; these are KiB, MiB, GiB and TiB; did you mean "MiB"?`},
		{"version: 1\nmax_bytes: 16MiB\nmax_entry: 2MiB\nrules: []", "p:3:12: more than 1/64 of max_bytes: at most 256KiB here"},
		{"version: 1\nmax_bytes: 64KiB\nrules: []", "p:2:12: max_bytes is at least 1MiB"},
		{"version: 1\nlisting: 11m\nrules: []", "p:2:10: more than 10m"},
		{"version: 1\nlisting: 60\nrules: []", `p:2:10: the time span "60" has no unit; write 60s`},
		{"version: 1\nlisting: never\nrules: []", `p:2:10: "never" is no time span such as`},
		{"version: 1\nlisting: -1s\nrules: []", `p:2:10: the time span "-1s" is negative`},
		{"version: 1\nsample_min: 1ms\nrules: []", "p:2:13: less than 10ms"},
		{"version: 1\nsample_min: 2m\nrules: []", "p:2:13: more than 1m"},
		{"version: 1\nlistings: 1s\nrules: []", `p:2:1: unknown key "listings"; did you mean "listing"?`},
		{`{match: a, cahce: 1s}`, "p:3:5: cache is missing in the rule\n" + `p:3:16: unknown key "cahce"; did you mean "cache"?`},
		{`{match: a, cache: nevr}`, `p:3:23: "nevr" is neither never, nor lifetime, nor a time span such as 2s; did you mean "never"?`},
		{`{match: a, cache: 1}`, `p:3:23: the time span "1" has no unit; write 1s`},
		{`{match: a, cache: 0s}`, `p:3:23: to cache it for no time at all is "never"`},
		{`{match: a, cache: 1000h}`, `p:3:23: more than 720h`},
		{`{match: a, cache: -1s}`, `p:3:23: the time span "-1s" is negative`},
		{`{match: a, cache: 1s, stale: x}`, `p:3:34: "x" is no time span`},
		{`{match: a, cache: 1s, prefetch: yes please}`, `p:3:37: "yes please" stands where true or false`},
		{`{match: a, cache: 1s, nodes: "n[1-"}`, `p:3:36: bad nodeset "n[1-"`},
		{`{match: "<pdi>/a", cache: 1s}`, `p:3:14: bad pattern: only <pid> and <tid>, as whole elements, have "<" and ">"; did you mean "<pid>"?`},
		{`{match: /proc/stat, cache: 1s}`, `p:3:13: bad pattern: patterns are relative to a node's /proc`},
		{`{match: "12/stat", cache: 1s}`, `p:3:14: a rule cannot be for some processes and not for others: "12"`},
		{`{match: "<pid>/task/7*/stat", cache: 1s}`, `p:3:25: a rule cannot be for some processes and not for others: "7*"`},
		{`{match: a, cache: never, stale: 1s, negative: 2s}`, "p:3:37: stale has no meaning\np:3:51: negative has no meaning"},
		{`{match: "<pid>/{stat,environ,io}", cache: 1s, prefetch: true}`, "p:3:26: environ cannot be prefetched, since what is prefetched is for all readers: it is shown to those only\np:3:34: io cannot be prefetched"},
		{`{match: "<pid>/stat", cache: never, prefetch: true}`, "p:3:51: a file that is never cached cannot be prefetched"},
		{`{match: "<pid>/stat", cache: 1s, nodes: n1, prefetch: true}`, "p:3:59: a sweep asks all nodes for the same files"},
		{`{match: "<pid>/s*", cache: 1s, prefetch: true}`, "p:3:20: prefetch names files of a process directory one by one"},
		{`{match: meminfo, cache: 1s, prefetch: true}`, "p:3:13: prefetch names files of a process directory one by one"},
		{`{match: "<pid>/task/<tid>/stat", cache: 1s, prefetch: true}`, "p:3:31: prefetch names files of a process directory one by one"},
		{`{match: "<pid>/net", cache: 1s, prefetch: true}`, "p:3:20: net is a directory"},
		{"{match: \"<pid>/s*\", cache: 1s}\n  - {match: \"<pid>/status\", cache: 1s}", "p:4:13: this rule can never match: that of line 3, <pid>/s*, matches all of its files first"},
		{"{match: \"<pid>/a\", cache: 1s}\n  - {match: \"<pid>/b\", cache: 1s}\n  - {match: \"<tid>/{a,b}\", cache: 1s}", "p:5:13: this rule can never match: the rules before it match all of its files first"},
		{"{match: a, cache: 1s, nodes: \"n[1-3]\"}\n  - {match: a, cache: 2s, nodes: n2}", "p:4:13: this rule can never match"},
		{"{match: a, cache: 1s, nodes: \"n[1-3]\"}\n  - {match: a, cache: 2s, nodes: \"n[3-4]\"}\n  - {match: a, cache: 2s}", ""},
		{"{match: \"<pid>/stat*\", cache: 1s}\n  - {match: \"<pid>/{stat,comm}\", cache: 1s, prefetch: true}", "p:4:21: stat is not this rule's to prefetch: the rule of line 3, <pid>/stat*, matches it first"},
		{"{match: \"fd/3\", cache: 1s}\n  - {match: \"irq/12/*\", cache: 2s}\n  - {match: \"<pid>/fd/1\", cache: 2s}", ""},
	} {
		text := tc.file
		if strings.HasPrefix(text, "{") {
			text = "version: 1\nrules:\n  - " + text
		}
		_, err := Parse("p", []byte(text))
		var got []string
		for _, e := range Faults(err) {
			first, _, _ := strings.Cut(e.Error(), "\n")
			got = append(got, first)
		}
		want := strings.Split(tc.want, "\n")
		if tc.want == "" {
			want = nil
		}
		for i := range max(len(got), len(want)) {
			if i >= len(got) || i >= len(want) || !strings.HasPrefix(got[i], want[i]) {
				t.Errorf("%s\n%v\nwant\n%s", text, err, tc.want)
				break
			}
		}
	}
}

// TestCaret has all mistakes of a file at once, as an admin sees them.
func TestCaret(t *testing.T) {
	_, err := Parse("p.yaml", []byte("version: 1\nrules:\n  - match: <pid>/{stat,maps}\n    cache: 1S\n    prefetch: true\n"))
	want := `p.yaml:3:24: maps cannot be prefetched, since what is prefetched is for all readers: it is shown to those only who may trace the process
    - match: <pid>/{stat,maps}
                         ^
p.yaml:4:12: "1S" is no time span such as 500ms, 2s or 1m30s
      cache: 1S
             ^`
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}

// A policy that does not say has listings that are a promise for a minute.
func TestListing(t *testing.T) {
	for text, want := range map[string]time.Duration{"": time.Minute, "listing: 0s\n": 0, "listing: 0\n": 0, "listing: 10m\n": 10 * time.Minute, "listing: 1500ms\n": 1500 * time.Millisecond} {
		p, err := Parse("p", []byte("version: 1\n"+text+"rules:\n  - {match: <pid>/stat, cache: 1s, prefetch: true}\n"))
		if err != nil || p.Listing != want {
			t.Errorf("%q: %v, %v", text, p, err)
			continue
		}
		e, err := p.Explain("", "<pid>/stat")
		if err != nil {
			t.Fatal(err)
		}
		told := strings.Contains(strings.Join(e.Effect(), "\n"), "as of the listing")
		if told != (want > 0) || told && !strings.Contains(strings.Join(e.Effect(), "\n"), "for "+FormatSpan(want)) {
			t.Errorf("with %q stat is %q", text, e.Effect())
		}
	}
	if p := Sweep(time.Second); p.Listing != time.Minute {
		t.Errorf("a policy of a sweep has %v", p.Listing)
	}
}

func TestWarnings(t *testing.T) {
	p := policy(t,
		`{match: "<pid>/maps", cache: never}`,
		`{match: "<pid>/{maps,stauts}", cache: 1s}`,
		`{match: "<pid>/task/<tid>/enviorn", cache: 1s}`,
		`{match: "{meminf,foo,xfs}", cache: 1s}`,
	)
	want := []string{
		"policy.yaml:4:14: nothing is left of <pid>/maps here: the rule of line 3, <pid>/maps, matches it first",
		`policy.yaml:4:26: no file of /proc is known here as "stauts"; did you mean "status"?`,
		`policy.yaml:5:31: no file of /proc is known here as "enviorn"; did you mean "environ"?`,
		`policy.yaml:6:15: no file of /proc is known here as "meminf"; did you mean "meminfo"?`,
	}
	got := p.Warnings()
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || !strings.HasPrefix(got[i], want[i]) {
			t.Fatalf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}

// FuzzParse wants an error or a policy with a rule for every path.
func FuzzParse(f *testing.F) {
	f.Add("version: 1\nrules:\n  - {match: \"<pid>/{a,b}\", cache: 1s, nodes: \"n[1-3]\"}", "1/a")
	f.Add("version: 1\nrules: [{match: '**', cache: lifetime, why: x}]", "x")
	f.Fuzz(func(t *testing.T, text, path string) {
		p, err := Parse("f", []byte(text))
		if err != nil {
			if len(Faults(err)) == 0 {
				t.Fatalf("no place: %v", err)
			}
			return
		}
		first := p.Rule("n1", path)
		if again := p.Rule("n1", path); first == nil || again != first || p.ruleWithin("n1", path) == nil {
			t.Fatalf("the rule is %v, and then %v", first, again)
		}
	})
}
