package nodeset_test

import (
	"fmt"
	"math/rand/v2"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/aggrfs/aggrfs/internal/nodeset"
)

// script prints for each nodeset, one a line, what nodeset(1) says with the
// options -f and -e: one process of a library that takes 70 ms to start.
const script = `
import sys
from ClusterShell.NodeSet import NodeSet
for line in sys.stdin:
    s = NodeSet(line.strip())
    print(s, " ".join(s), sep="\t")
`

// clustershell folds and expands the nodesets.
func clustershell(t *testing.T, sets []string) (folded, expanded []string) {
	t.Helper()
	// By its full name: another python3 in PATH does not have Debian's packages.
	cmd := exec.Command("/usr/bin/python3", "-c", script)
	cmd.Stdin = strings.NewReader(strings.Join(sets, "\n"))
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("python3 with ClusterShell (of the package clustershell): %v\n%s", err, stderr.String())
	}
	for line := range strings.Lines(string(out)) {
		f, e, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		folded, expanded = append(folded, f), append(expanded, e)
	}
	if len(folded) != len(sets) {
		t.Fatalf("ClusterShell answered %d of %d", len(folded), len(sets))
	}
	return folded, expanded
}

// TestAgainstClusterShell folds and expands random nodesets beside nodeset(1).
func TestAgainstClusterShell(t *testing.T) {
	const seed, cases = 1, 200
	random := rand.New(rand.NewPCG(seed, seed))
	numbers := func() string {
		var spans []string
		for range 1 + random.IntN(3) {
			width, from := 1+random.IntN(3), random.IntN(120)
			s := fmt.Sprintf("%0*d", width, from)
			if to := fmt.Sprintf("%0*d", width, from+random.IntN(20)); len(to) == len(s) && random.IntN(3) > 0 {
				s += "-" + to
			}
			spans = append(spans, s)
		}
		return strings.Join(spans, ",")
	}
	var flat, deep []string
	for range cases {
		var f, d []string
		for range 1 + random.IntN(3) {
			f = append(f, fmt.Sprintf("%c[%s]", 'a'+rune(random.IntN(3)), numbers()))
			d = append(d, fmt.Sprintf("r[%s]n[%s]x", numbers(), numbers()))
		}
		flat = append(flat, strings.Join(f, ","))
		deep = append(deep, strings.Join(d, ","))
	}

	theirs, _ := clustershell(t, flat)
	for i, text := range flat {
		if got := parse(t, text).String(); got != theirs[i] {
			t.Errorf("%s: folded %s, ClusterShell has %s", text, got, theirs[i])
		}
	}
	// With several numbers in a name there is more than one good folding:
	// ours must be the same set in not many more words.
	all := append(flat, deep...)
	folded := make([]string, len(all))
	for i, text := range all {
		folded[i] = parse(t, text).String()
	}
	theirFolding, _ := clustershell(t, all)
	_, theirNames := clustershell(t, folded)
	words := func(s string) int { return strings.Count(s, "[") + strings.Count(s, ",") }
	ourWords, theirWords := 0, 0
	for i, names := range theirNames {
		want := strings.Fields(names)
		slices.SortFunc(want, nodeset.Compare)
		if got := parse(t, all[i]).Names(); !slices.Equal(got, want) {
			t.Errorf("%s: %v, ClusterShell has %v", all[i], got, want)
		}
		if !parse(t, theirFolding[i]).Equal(parse(t, all[i])) {
			t.Errorf("%s: ClusterShell's folding %s is another set", all[i], theirFolding[i])
		}
		ourWords += words(folded[i])
		theirWords += words(theirFolding[i])
	}
	if t.Logf("words: %d, ClusterShell %d", ourWords, theirWords); ourWords > theirWords*11/10 {
		t.Errorf("folded into %d words, ClusterShell into %d", ourWords, theirWords)
	}
}

// TestRefusedByBoth has what neither takes.
func TestRefusedByBoth(t *testing.T) {
	for _, text := range []string{"n[1-2", "n]", "n[]", "n1,,n2", "n[3-1]", "n[a-b]", "n[01-3]", "n[1-003]", "n[00-100]"} {
		if _, err := nodeset.Parse(text); err == nil {
			t.Errorf("%s is taken", text)
		}
		if out, err := exec.Command("nodeset", "-f", text).CombinedOutput(); err == nil {
			t.Errorf("ClusterShell takes %s as %s", text, out)
		}
	}
}
