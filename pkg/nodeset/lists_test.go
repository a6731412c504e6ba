package nodeset_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/pkg/nodeset"
)

// TestLists puts random names behind each other with whatever may stand between
// them, beside Slurm, which refuses a newline right behind a bracket.
func TestLists(t *testing.T) {
	const seed, cases = 7, 400
	g := generator{rand.New(rand.NewPCG(seed, seed))}
	ask := slurm(t)
	for range cases {
		text := g.one("", "", ",", " ", "\n")
		var want nodeset.Set
		for i := range 1 + g.IntN(4) {
			if i > 0 {
				text += g.one(",", ", ", " ", "\n", ",,", " , ,", "\t", ",\n")
			}
			name := g.one("a", "n1", "x-") + g.one("", "["+g.plain()+"]", "["+g.plain()+"]n["+g.plain()+"]")
			text += name
			want = want.Union(parse(t, name))
		}
		text += g.one("", "", ",", " ", "\n", ",,")
		if got, err := nodeset.Parse(text); err != nil || !got.Equal(want) {
			t.Errorf("%q: %v, %v; want %s", text, got, err, want)
		}
		if slurms := sortedSet(ask("hostnames", strings.ReplaceAll(text, "]\n", "],"))); !slices.Equal(slurms, want.Names()) {
			t.Errorf("%q: %s; Slurm has %v", text, want, slurms)
		}
	}
}

// TestOperators evaluates random expressions beside ClusterShell.
func TestOperators(t *testing.T) {
	const seed, cases = 9, 500
	g := generator{rand.New(rand.NewPCG(seed, seed))}
	var texts []string
	for range cases {
		text := ""
		for i := range 2 + g.IntN(4) {
			if i > 0 {
				text += g.one(",", "!", "&", "^", " ! ", " &", "^ ", ", ")
			}
			from := g.IntN(12)
			text += g.one(fmt.Sprintf("n[%d-%d]", from, from+g.IntN(12)), fmt.Sprintf("n[%d-%d/2]", from, from+g.IntN(12)),
				fmt.Sprintf("n%d", from), fmt.Sprintf("n[%02d-%02d]", from, from+g.IntN(5)),
				fmt.Sprintf("r[1-2]n[%d,%d]", from, g.IntN(12)), fmt.Sprintf("n[%d,%[1]d]", from))
		}
		texts = append(texts, text)
	}
	none := 0
	for i, theirs := range clustershell(t, texts) {
		if theirs == nil {
			t.Errorf("%q: ClusterShell refuses it", texts[i])
			continue
		}
		ours, err := nodeset.Parse(texts[i])
		if len(theirs.Names) == 0 {
			if none++; err == nil || !strings.Contains(err.Error(), "no node is left of it") {
				t.Errorf("%q: %v, %v; ClusterShell has none", texts[i], ours, err)
			}
		} else if err != nil || !slices.Equal(ours.Names(), sortedSet(theirs.Names)) {
			t.Errorf("%q: %v, %v; ClusterShell has %s", texts[i], ours, err, theirs.Folded)
		}
	}
	if none == 0 {
		t.Error("nothing was left of no expression")
	}
}

// TestOperands has operators with a side missing, which ClusterShell refuses too.
func TestOperands(t *testing.T) {
	texts := []string{"!n1", "n1!", "n1!!n2", "n1!,n2", "n1,!n2", "n1 & ", "^", "n1&^n2", "n1 !\n"}
	for i, theirs := range clustershell(t, texts) {
		if _, err := nodeset.Parse(texts[i]); err == nil || !strings.Contains(err.Error(), "a name is missing") {
			t.Errorf("%q: %v", texts[i], err)
		}
		if theirs != nil && strings.TrimSpace(texts[i]) == texts[i] {
			t.Errorf("%q: ClusterShell has %s", texts[i], theirs.Folded)
		}
	}
}

func TestParseAll(t *testing.T) {
	for _, tt := range []struct {
		texts []string
		want  string // or the error
	}{
		{[]string{"n[1-3]", "n[2-4] a"}, "a,n[1-4]"},
		{[]string{"n[1-3]!n2"}, "n[1,3]"},
		{[]string{"n1", ""}, "the nodeset is empty (an unset variable?); to mean all nodes leave it out"},
		{nil, "the nodeset is empty (an unset variable?); to mean all nodes leave it out"},
		{[]string{"n1", "n["}, `bad nodeset "n[", at character 2: "[" without "]"`},
		{[]string{"a[1-60000]", "b[1-60000]"}, `bad nodeset "b[1-60000]", at character 1: with the nodesets before it this makes more than 100000 names`},
	} {
		got, err := nodeset.ParseAll(tt.texts...)
		if err != nil && err.Error() != tt.want || err == nil && got.String() != tt.want {
			t.Errorf("%q: %s, %v; want %s", tt.texts, got, err, tt.want)
		}
	}
	if got := parse(t, "n[1-5]").Minus(parse(t, "n[2-3],n9")); got.String() != "n[1,4-5]" {
		t.Errorf("n[1-5] without n[2-3],n9 is %s", got)
	}
	if got := parse(t, "n1").Minus(parse(t, "n1")); got.Len() != 0 {
		t.Errorf("n1 without itself is %s", got)
	}
}

func TestNearest(t *testing.T) {
	among := []string{"head", "n001", "n012", "n120", "gpu-a", "r0n0", "m126", "m127", "m128", "node3", "N7", "login"}
	for name, want := range map[string]string{
		"n12": "n012", "n0012": "n012", "r00n000": "r0n0", "n7": "N7", "Login": "login",
		"gpua": "gpu-a", "nod3": "node3", "ndoe03": "node3", "lgoin": "login",
		// Another number, or another of few letters, is another machine.
		"m012": "", "m129": "", "n11": "", "n0": "", "m1": "", "node4": "", "gpu-b1": "", "3": "", "zzz": "", "": "", strings.Repeat("n", 300): "",
	} {
		if got := nodeset.Nearest(name, among); got != want {
			t.Errorf("the nearest of %.20s is %q, want %q", name, got, want)
		}
	}
}

// TestBounded has texts that stand for more than there may be, or that are much work
// for one who is careless.
func TestBounded(t *testing.T) {
	many := func(s string, n int) string { return strings.Repeat(s, n) }
	for name, tt := range map[string]struct {
		text  string
		taken bool
	}{
		"a product":                  {"n" + many("[0-999999999999999999]", 10000), false},
		"all taken away":             {"n[1-99999]!n[1-99999]", false},
		"much taken away":            {"n[1-1000000000]!n[2-1000000000]", false},
		"a step of one in many":      {"n[1-999999999999999999/999999999999999998]", true},
		"a large set, many operands": {"n[1-50000]" + many("!x", 10000) + many("&n[1-5]", 5000), true},
		"one name often":             {many("n1,", 90000), true},
		"one name too often":         {many("n1 ", 110000), false},
		"commas":                     {many(",", 1<<20) + "n1", true},
		"brackets":                   {many("[", 1<<20), false},
		"one bracket":                {"n[" + many("1,", 40000) + "1]", true},
		"digits":                     {many("0", 1<<20) + "[1-10]", false},
	} {
		begin := time.Now()
		s, err := nodeset.Parse(tt.text)
		if took := time.Since(begin); (err == nil) != tt.taken || took > 5*time.Second {
			t.Errorf("%s: %d names, %v after %v", name, s.Len(), err, took)
		} else if err != nil && len(err.Error()) > 1000 {
			t.Errorf("%s: an error of %d bytes", name, len(err.Error()))
		} else {
			t.Logf("%s: %v", name, took)
		}
	}
}
