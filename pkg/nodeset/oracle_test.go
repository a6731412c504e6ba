package nodeset_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aggrfs/aggrfs/pkg/nodeset"
)

// script says for each nodeset, given and answered in JSON, one a line, what
// nodeset(1) says with the options -f and -e, or null where it is refused: one
// process of a library that takes 70 ms to start.
const script = `
import json, sys
from ClusterShell.NodeSet import NodeSet
for line in sys.stdin:
    try:
        s = NodeSet(json.loads(line))
        print(json.dumps({"Folded": str(s), "Names": list(s)}))
    except Exception:
        print("null")
`

// An answer is how an oracle folds and expands a nodeset.
type answer struct {
	Folded string
	Names  []string
}

// clustershell asks ClusterShell; nil is a nodeset that it refuses.
func clustershell(t *testing.T, sets []string) []*answer {
	t.Helper()
	var in bytes.Buffer
	for _, text := range sets {
		if err := json.NewEncoder(&in).Encode(text); err != nil {
			t.Fatal(err)
		}
	}
	// By its full name: another python3 in PATH does not have Debian's packages.
	cmd := exec.Command("/usr/bin/python3", "-c", script)
	cmd.Stdin = &in
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("python3 with ClusterShell (of the package clustershell): %v\n%s", err, stderr.String())
	}
	var all []*answer
	for line := range bytes.Lines(out) {
		var a *answer
		if err := json.Unmarshal(line, &a); err != nil {
			t.Fatal(err)
		}
		all = append(all, a)
	}
	if len(all) != len(sets) {
		t.Fatalf("ClusterShell answered %d of %d", len(all), len(sets))
	}
	return all
}

// slurm makes a function that asks "scontrol show hostnames", which needs a
// configuration and no controller. Its exit status is 0 whatever it says.
func slurm(t *testing.T) func(keyword, text string) []string {
	t.Helper()
	conf := filepath.Join(t.TempDir(), "slurm.conf")
	if err := os.WriteFile(conf, []byte("ClusterName=test\nSlurmctldHost=localhost\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	ask := func(keyword, text string) []string {
		t.Helper()
		cmd := exec.Command("scontrol", "show", keyword, text)
		cmd.Env = append(os.Environ(), "SLURM_CONF="+conf)
		var stdout, stderr strings.Builder
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		if err := cmd.Run(); err != nil {
			t.Fatalf("scontrol (of the package slurm-client): %v\n%s", err, stderr.String())
		}
		if stderr.Len() > 0 {
			return nil
		}
		return strings.Split(strings.TrimSuffix(stdout.String(), "\n"), "\n")
	}
	if got := ask("hostnames", "n[1-2]"); !slices.Equal(got, []string{"n1", "n2"}) {
		t.Fatalf("scontrol (of the package slurm-client) expands n[1-2] to %q", got)
	}
	return ask
}

// A generator makes random nodesets.
type generator struct{ *rand.Rand }

func (g generator) one(of ...string) string { return of[g.IntN(len(of))] }

// number is one in some width.
func (g generator) number(most int) string { return fmt.Sprintf("%0*d", 1+g.IntN(3), g.IntN(most)) }

// plain are numbers for brackets as all write them.
func (g generator) plain() string {
	var spans []string
	for range 1 + g.IntN(3) {
		width, from := 1+g.IntN(3), g.IntN(120)
		s := fmt.Sprintf("%0*d", width, from)
		if to := fmt.Sprintf("%0*d", width, from+g.IntN(20)); len(to) == len(s) && g.IntN(3) > 0 {
			s += "-" + to
		}
		spans = append(spans, s)
	}
	return strings.Join(spans, ",")
}

// odd are numbers for brackets in the ways that one program or the other has.
func (g generator) odd() string {
	var spans []string
	for range 1 + g.IntN(3) {
		s := g.number(12)
		if g.IntN(3) > 0 {
			s += "-" + g.number(130)
		}
		if g.IntN(8) == 0 {
			s += fmt.Sprintf("/%d", g.IntN(4))
		}
		if g.IntN(12) == 0 {
			s = ""
		}
		spans = append(spans, s)
	}
	return strings.Join(spans, g.one(",", ",", ",", ", ", " ,"))
}

// name is a pattern in the ways that one program or the other has.
func (g generator) name() string {
	s := g.one("a", "b", "n0", "n1", "n10", "n00", "x-", "")
	for range g.IntN(3) {
		s += "[" + g.odd() + "]" + g.one("", "", "", "m", "-ib", "7", ".x")
	}
	return s
}

// TestNames expands random names beside both programs. What both take in one
// meaning is taken; where they differ, Slurm's meaning is; what one takes is taken
// in its meaning or refused.
func TestNames(t *testing.T) {
	const seed, cases = 3, 800
	g := generator{rand.New(rand.NewPCG(seed, seed))}
	ask := slurm(t)
	var texts []string
	for range cases {
		texts = append(texts, g.name())
	}
	kinds := map[string]int{}
	for i, theirs := range clustershell(t, texts) {
		text := texts[i]
		slurms := sortedSet(ask("hostnames", text))
		ours, err := nodeset.Parse(text)
		var shells []string
		if theirs != nil {
			shells = sortedSet(theirs.Names)
		}
		kind := "neither"
		switch takes := func(want []string) bool { return err == nil && slices.Equal(ours.Names(), want) }; {
		case len(slurms) > 0 && slices.Equal(slurms, shells):
			if kind = "both"; !takes(slurms) {
				t.Errorf("%q: %v, %v; both have %v", text, ours, err, slurms)
			}
		case len(slurms) > 0 && len(shells) > 0:
			kind = "both differ"
			if blank := err != nil && strings.Contains(err.Error(), "the blank before"); !takes(slurms) && !blank {
				t.Errorf("%q: %v, %v; Slurm has %v, ClusterShell %v", text, ours, err, slurms, shells)
			}
		case len(slurms) > 0:
			if kind = "Slurm alone"; err == nil && !takes(slurms) {
				t.Errorf("%q: %v; Slurm has %v", text, ours, slurms)
			}
		case len(shells) > 0:
			if kind = "ClusterShell alone"; err == nil && !takes(shells) {
				t.Errorf("%q: %v; ClusterShell has %v", text, ours, shells)
			}
		}
		if err != nil {
			kind += ", refused"
		}
		kinds[kind]++
	}
	for _, kind := range []string{"both", "both differ", "Slurm alone", "ClusterShell alone"} {
		if kinds[kind] == 0 {
			t.Errorf("none was of the kind %q", kind)
		}
	}
	t.Logf("%v", kinds)
}

// sortedSet is names in our order, each once. An empty name is none.
func sortedSet(names []string) []string {
	names = slices.DeleteFunc(names, func(s string) bool { return s == "" })
	return nodeset.Of(names...).Names()
}
