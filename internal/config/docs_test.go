package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Every configuration in the documentation loads.
func TestDocumentation(t *testing.T) {
	files, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := 0
	for _, file := range append(files, "../../README.md") {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range strings.Split(string(text), "```yaml\n")[1:] {
			yaml, _, _ := strings.Cut(block, "```")
			if strings.Contains(yaml, "\nrules:") {
				continue // a cache policy, which package cachepolicy reads
			}
			blocks++
			if _, err := Parse(file, []byte(yaml)); err != nil {
				t.Errorf("%v in\n%s", err, yaml)
			}
		}
	}
	if blocks == 0 {
		t.Error("the documentation shows no configuration")
	}
}
