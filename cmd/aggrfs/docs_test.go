package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Every command line of aggrfs in the documentation is one that it takes.
func TestDocumentation(t *testing.T) {
	files, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	lines := 0
	for _, file := range append(files, "../../README.md") {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			args, ok := strings.CutPrefix(line, "$ aggrfs ")
			if !ok {
				args, ok = strings.CutPrefix(line, "    aggrfs ")
			}
			if !ok {
				continue // prose
			}
			args, _, _ = strings.Cut(args, "  ")  // what follows explains
			args, _, _ = strings.Cut(args, " | ") // or is somebody else's
			lines++
			words := strings.Fields(args)
			cmd, rest, err := (&app{}).command().Find(words)
			if err == nil {
				err = cmd.ParseFlags(rest)
			}
			if err == nil {
				err = cmd.ValidateArgs(cmd.Flags().Args())
			}
			if err != nil || !cmd.HasParent() {
				t.Errorf("%s: %q: %v", file, line, err)
			}
		}
	}
	if lines < 5 {
		t.Errorf("the documentation shows %d command lines", lines)
	}
}
