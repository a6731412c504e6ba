package cachepolicy

import (
	"path/filepath"
	"strings"
	"testing"
)

// Every cache policy in the documentation loads, but those that are shown to be
// wrong.
func TestDocumentation(t *testing.T) {
	files, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := 0
	for _, file := range append(files, "../../README.md") {
		for _, block := range strings.Split(string(mustRead(t, file)), "```yaml\n")[1:] {
			yaml, _, _ := strings.Cut(block, "```")
			if !strings.Contains(yaml, "\nrules:") {
				continue // a configuration, which package config reads
			}
			blocks++
			if p, err := Parse(file, []byte(yaml)); (err != nil) != strings.HasPrefix(yaml, "# wrong") {
				t.Errorf("%v in\n%s", err, yaml)
			} else if err == nil && len(p.Warnings()) > 0 {
				t.Errorf("%v in\n%s", p.Warnings(), yaml)
			}
		}
	}
	if blocks < 2 {
		t.Errorf("the documentation shows %d cache policies", blocks)
	}
}
