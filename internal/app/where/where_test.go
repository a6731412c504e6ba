package where

import (
	"bytes"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/pkg/aggregate/report"
)

func ann() *report.Process {
	return &report.Process{
		Node: "n1", PID: 70, GPID: 10000070, PPID: 10000001, User: "ann", State: 'R', CPU: 10025, RSS: 5 << 20,
		Start: time.Now().Add(-2 * time.Hour), Command: []byte("./solver\x00--steps\x0010"), Place: &report.Job{Job: "42", Unit: "a.service"}, Detail: &report.Detail{VSZ: 6 << 20, Threads: 3, Priority: 19}, Memory: 50 << 20,
	}
}

// Expressions say what their words say.
func TestMatch(t *testing.T) {
	for text, want := range map[string]bool{
		`rss > 4*GiB && user != "root"`:                  true,
		`rss == 5*GiB`:                                   true,
		`rss > 5*GiB or user == "root"`:                  false,
		`node in ["n1", "n2"] and not (stat == "S")`:     true,
		`args contains "--steps 10"`:                     true,
		`args matches "^\\./sol.*10$"`:                   true,
		`args startsWith "solver"`:                       false,
		`hasSuffix(lower(args), "10") && len(user) == 3`: true,
		`elapsed > hour && elapsed < 3*hour`:             true,
		`start < date("2020-01-01")`:                     false,
		`time > 100 && time < 100.5`:                     true,
		`gpid % 10000000 == npid`:                        true,
		`ppid == 10000001 && tty == ""`:                  true,
		`job == "42"`:                                    true,
		`unit == "a.service" && step == "" && pod == ""`: true,
		`vsz == 6*GiB && nlwp > 2 && pri == 19`:          true,
		`ni < 0 || ni >= 0`:                              false, // it has none
		`mem == 10`:                                      true,
		`cpu > 0 || cpu <= 0`:                            false, // it is not known
		`(rss > GiB ? user : node) == "ann"`:             true,
	} {
		f, err := Parse(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got, err := f.Match(ann()); err != nil || got != want {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	f, err := Parse(`cpu >= 50`)
	if err != nil || !f.Uses("%cpu") || f.Uses("job") {
		t.Fatalf("%v, %+v", err, f)
	}
	p := ann()
	p.Percent = new(float64(50))
	if is, err := f.Match(p); !is || err != nil {
		t.Errorf("%v, %v", is, err)
	}
}

// A mistake is shown in its place.
func TestMistakes(t *testing.T) {
	for text, want := range map[string]string{
		`rss > 4*GB`:                     "unknown name GB\n  rss > 4*GB\n          ^\nthe columns are node, gpid, npid,",
		`user = "ann"`:                   "\n  user = \"ann\"\n       ^\n",
		`user > 5`:                       "(mismatched types string and int)\n  user > 5\n       ^\n",
		`rss`:                            "expected bool",
		``:                               "unexpected token EOF\n  \n  ^\n",
		"node == \"n1\" &&\nfoo":         "unknown name foo\n  foo\n  ^\n",
		`args matches "("`:               "missing closing )",
		`args matches user`:              "a pattern in quotes",
		`npid in 1..1000000000`:          "there are no ranges",
		`len(map(1..9, # * 2)) > 3`:      "there are no ranges",
		`any([1,2], # > 1)`:              "more than --where takes",
		`repeat(args, 1000000) == ""`:    "no function repeat",
		`let a = args + args; a == ""`:   "more than --where takes",
		`start.Unix() > 3`:               "--where",
		`env("x") == ""`:                 "no such function",
		strings.Repeat("(", 4000):        "",
		strings.Repeat("!", 4000):        "",
		strings.Repeat("npid+", 900):     "",
		strings.Repeat("x", maxText+1):   "too long",
		`args matches "(a{1000}){1000}"`: "invalid repeat",
	} {
		_, err := Parse(text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40s: %v", text, err)
		}
	}
	f, err := Parse(`gpid % (npid - 70) == 0`)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Match(ann()); err == nil || !strings.Contains(err.Error(), "divide by zero") {
		t.Errorf("%v", err)
	}
}

// The longest expression about the longest command line takes memory in proportion to both, and
// nothing of what is behind its first part.
func TestBounded(t *testing.T) {
	p := ann()
	p.Command = bytes.Repeat([]byte("a"), 6<<20)
	var parts []string
	for range 30 {
		parts = append(parts, `args + args + args matches "^(a|aa)*b$"`)
	}
	f, err := Parse(strings.Join(parts, " || "))
	if err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if is, err := f.Match(p); is || err != nil {
		t.Errorf("%v, %v", is, err)
	}
	runtime.ReadMemStats(&after)
	allocated := after.TotalAlloc - before.TotalAlloc
	if most := uint64(maxText * maxArgs); allocated > most {
		t.Errorf("%d bytes for one row, want at most %d", allocated, most)
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{`rss > 4*GiB && user != "root"`, `args matches "a"`, `[1] in [2]`, `{a: 1}`, `1 ?? 2`, `a?.b`, `date("x") < start`} {
		f.Add(text)
	}
	p := ann()
	f.Fuzz(func(t *testing.T, text string) {
		if filter, err := Parse(text); err == nil {
			_, _ = filter.Match(p)
		}
	})
}

func BenchmarkMatch(b *testing.B) {
	f, err := Parse(`rss > 4*GiB && user != "root"`)
	if err != nil {
		b.Fatal(err)
	}
	p := ann()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := f.Match(p); err != nil {
			b.Fatal(err)
		}
	}
}
