package rules

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	// yamlGlob is a nodeset or pattern as a value or in a list, in no quotes.
	yamlGlob = regexp.MustCompile(`\b(nodes|match|users|groups|deny|address): *\[?[\w.<>/-]*([\w>/][\[{]|\*)|\b(nodes|match|users|deny): *\[[^"'\]]*\w[\[{]`)
	// commandGlob is a nodeset in a command line of ours, in no quotes.
	commandGlob = regexp.MustCompile(`(\baggrfs [a-z]|\bissue |--nodes |-x )([^'"]* )?[a-z][\w,.-]*\[[0-9]`)
)

// globOfShell is the first character of a command line that a shell would take for a
// pattern of file names, by its index, or -1.
func globOfShell(line string) int {
	quote := byte(0)
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case c == quote:
			quote = 0
		case c == '\\' && quote != '\'':
			i++
		case quote != 0:
		case c == '\'' || c == '"':
			quote = c
		case c == '#' && (i == 0 || line[i-1] == ' '):
			return -1
		case c == '[' || c == '*' || c == '?':
			return i
		}
	}
	return -1
}

// commands calls f with each command line that a document shows: what is indented, or
// comes behind a prompt.
func commands(text string, f func(line int, command string)) {
	fence := false
	for i, line := range strings.Split(text, "\n") {
		command, prompt := strings.CutPrefix(line, "$ ")
		code, indented := strings.CutPrefix(line, "    ")
		switch {
		case strings.HasPrefix(line, "```"):
			fence = !fence
		case prompt:
			f(i+1, command)
		case indented && !fence && !strings.HasPrefix(code, "["): // the head of a part of a unit
			f(i+1, code)
		}
	}
}

// TestGlobsAreQuoted looks through documents, configurations and help texts for what a
// shell or YAML would take for something else. Who copies it has it work by chance.
func TestGlobsAreQuoted(t *testing.T) {
	for _, name := range sources(t) {
		document := strings.HasSuffix(name, ".md")
		switch filepath.Ext(name) {
		case ".md", ".yaml", ".go", ".service":
		default:
			continue
		}
		// Package strict tells of what is not quoted.
		if strings.HasSuffix(name, "_test.go") || strings.HasPrefix(name, "internal/config/strict/") {
			continue
		}
		content, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range strings.Split(string(content), "\n") {
			for _, glob := range []*regexp.Regexp{yamlGlob, commandGlob} {
				if found := glob.FindString(line); found != "" {
					t.Errorf("%s:%d: %q needs quotes", name, i+1, found)
				}
			}
		}
		if document {
			commands(string(content), func(line int, command string) {
				if at := globOfShell(command); at >= 0 {
					t.Errorf("%s:%d: %q needs quotes from %q on", name, line, command, command[at:])
				}
			})
		}
	}
}

// TestUnquoted holds the test above to what it must find.
func TestUnquoted(t *testing.T) {
	for line, want := range map[string]bool{
		`  - {nodes: n[001-128], address: "x"}`: true, `nodes: n[1-3]`: true, `{match: <pid>/{stat,status}}`: true,
		`{users: *, nodes: all}`: true, `nodes: [n[1-3], a]`: true, `nodes: [a, n[1-3]]`: true, `{match: <pid>/attr/*}`: true, `match: **`: true,
		`  - {nodes: "n[001-128]", address: "x"}`: false, `nodes: ["n[1-3]", a]`: false, `nodes: [a, b]`: false, `users: make(map[string]int)`: false,
		`aggrfs ps --nodes n[1-3]`: true, `  aggrfs certs issue head,n[001-128]`: true, `x --nodes n[1-3] y`: true,
		`aggrfs ps --nodes 'n[1-3]'`: false, `aggrfs ps --server %[1]s -ef`: false, `aggrfs issue --dir /a 'head,n[001-128]'`: false,
	} {
		if got := yamlGlob.MatchString(line) || commandGlob.MatchString(line); got != want {
			t.Errorf("%s: found %v", line, got)
		}
	}
	found := 0
	commands("text *\n\n    ls *.x\n    echo 'a*' \"b?\" \\[ # c*\n\n```\n$ cat n[1]\n    out *\n```\n", func(_ int, command string) {
		if globOfShell(command) >= 0 {
			found++
		}
	})
	if found != 2 {
		t.Errorf("%d command lines with globs are found, not 2", found)
	}
}
