package nodeset_test

import (
	"fmt"
	"math/rand/v2"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/aggrfs/aggrfs/pkg/nodeset"
)

// TestFolded folds random nodesets beside nodeset(1).
func TestFolded(t *testing.T) {
	const seed, cases = 1, 200
	g := generator{rand.New(rand.NewPCG(seed, seed))}
	var flat, deep []string
	for range cases {
		var f, d []string
		for range 1 + g.IntN(3) {
			f = append(f, fmt.Sprintf("%c[%s]", 'a'+rune(g.IntN(3)), g.plain()))
			d = append(d, fmt.Sprintf("r[%s]n[%s]x", g.plain(), g.plain()))
		}
		flat = append(flat, strings.Join(f, ","))
		deep = append(deep, strings.Join(d, ","))
	}
	for i, theirs := range clustershell(t, flat) {
		if got := parse(t, flat[i]).String(); got != theirs.Folded {
			t.Errorf("%s: folded %s, ClusterShell has %s", flat[i], got, theirs.Folded)
		}
	}
	// With several numbers in a name there is more than one good folding:
	// ours must be the same set in not many more words.
	all := append(flat, deep...)
	folded := make([]string, len(all))
	for i, text := range all {
		folded[i] = parse(t, text).String()
	}
	unfolded := clustershell(t, folded)
	words := func(s string) int { return strings.Count(s, "[") + strings.Count(s, ",") }
	ourWords, theirWords := 0, 0
	for i, theirs := range clustershell(t, all) {
		ours := parse(t, all[i])
		if want := sortedSet(unfolded[i].Names); !slices.Equal(ours.Names(), want) {
			t.Errorf("%s: %v, ClusterShell has %v", all[i], ours, want)
		}
		if !parse(t, theirs.Folded).Equal(ours) {
			t.Errorf("%s: ClusterShell's folding %s is another set", all[i], theirs.Folded)
		}
		ourWords += words(folded[i])
		theirWords += words(theirs.Folded)
	}
	if t.Logf("words: %d, ClusterShell %d", ourWords, theirWords); ourWords > theirWords*11/10 {
		t.Errorf("folded into %d words, ClusterShell into %d", ourWords, theirWords)
	}
}

// TestPrinted reads what "scontrol show hostlist" prints for random names, and has
// Slurm read what String prints.
func TestPrinted(t *testing.T) {
	const seed, cases = 5, 200
	g := generator{rand.New(rand.NewPCG(seed, seed))}
	ask := slurm(t)
	for range cases {
		var names []string
		prefix := g.one("n", "r1n", "x-")
		for n, left := g.IntN(130), 1+g.IntN(30); left > 0; n, left = n+1+g.IntN(2)*g.IntN(9), left-1 {
			names = append(names, fmt.Sprintf("%s%0*d", prefix, 1+g.IntN(2), n))
		}
		want := nodeset.Of(names...)
		printed := ask("hostlist", strings.Join(names, ","))
		if len(printed) != 1 {
			t.Fatalf("scontrol show hostlist %v printed %q", names, printed)
		}
		if got := parse(t, printed[0]); !got.Equal(want) {
			t.Errorf("%s: %s, want %s", printed[0], got, want)
		}
		if got := sortedSet(ask("hostnames", want.String())); !slices.Equal(got, want.Names()) {
			t.Errorf("%s is %v for Slurm", want, got)
		}
	}
}

// TestRefusedByAll has what nobody takes.
func TestRefusedByAll(t *testing.T) {
	ask := slurm(t)
	for _, text := range []string{"n[]", "n[1,]", "n[,1]", "n[1,,2]", "n[3-1]", "n[a-b]", "n[1 2]", "n[[1-2]]", "n[01-20/0]"} {
		if _, err := nodeset.Parse(text); err == nil {
			t.Errorf("%s is taken", text)
		}
		if out, err := exec.Command("nodeset", "-f", text).CombinedOutput(); err == nil {
			t.Errorf("ClusterShell takes %s as %s", text, out)
		}
		if names := ask("hostnames", text); names != nil {
			t.Errorf("Slurm takes %s as %s", text, names)
		}
	}
}
