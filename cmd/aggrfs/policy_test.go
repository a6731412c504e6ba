package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aggrfs/aggrfs/configs"
)

// TestPolicyDocumentation runs the commands of docs/policy.md on the files that it
// shows and compares what they print with what it says.
func TestPolicyDocumentation(t *testing.T) {
	text, err := os.ReadFile("../../docs/policy.md")
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	ran := 0
	for i, block := range strings.Split(string(text), "```") {
		if i%2 == 0 {
			continue // between blocks
		}
		kind, body, _ := strings.Cut(block, "\n")
		if name, ok := strings.CutPrefix(body, "# "); ok && kind == "yaml" {
			name, _, _ = strings.Cut(name, "\n")
			if err := os.WriteFile(name, []byte(body), 0o600); err != nil {
				t.Fatal(err)
			}
			continue
		}
		for _, example := range strings.Split("\n"+body, "\n$ aggrfs ")[1:] {
			line, want, _ := strings.Cut(example, "\n")
			got, err := output(t, strings.Fields(strings.ReplaceAll(line, "'", ""))...)
			if err != nil {
				got += "aggrfs: " + err.Error() + "\n"
			}
			if strings.TrimSpace(got) != strings.TrimSpace(want) {
				t.Errorf("%s prints\n%s\nand not\n%s", line, got, want)
			}
			ran++
		}
	}
	if ran < 4 {
		t.Errorf("%d commands", ran)
	}
}

func TestPolicyShow(t *testing.T) {
	text, err := output(t, "policy", "show")
	if err != nil || text != string(configs.CachePolicy) {
		t.Errorf("%d bytes, %v", len(text), err)
	}
	// What is shown is a file to start from.
	file := filepath.Join(t.TempDir(), "p.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	again, err := output(t, "policy", "show", "--policy", file)
	if err != nil || again != text {
		t.Errorf("%d bytes, %v", len(again), err)
	}
	if out, err := output(t, "policy", "check", file); err != nil || !strings.Contains(out, "no mistake") {
		t.Errorf("%s, %v", out, err)
	}
}

func TestPolicyErrors(t *testing.T) {
	for _, args := range [][]string{
		{"check", "/nonexistent"}, {"show", "--policy", "/nonexistent"}, {"explain", "--policy", "/nonexistent", "stat"},
		{"explain", "a//b"}, {"explain", "--node", "n[1-2]", "stat"}, {"explain", "--node", "n[", "stat"}, {"check"}, {"explain"},
	} {
		if out, err := output(t, append([]string{"policy"}, args...)...); err == nil {
			t.Errorf("%v: %s", args, out)
		}
	}
	out, err := output(t, "policy", "explain", "--node", "n12", "<pid>/maps")
	if err != nil || !strings.Contains(out, "never cached: each open asks the node") {
		t.Errorf("%s, %v", out, err)
	}
}
