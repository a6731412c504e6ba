package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/pkg/aggregate/report"
)

// afterCommand is where a shell's simple command ends, or its redirections begin.
var afterCommand = regexp.MustCompile(` [|] | [|][|] | && |; | [0-9]?>`)

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
			args, _, _ = strings.Cut(args, "  ") // what follows explains
			if end := afterCommand.FindStringIndex(args); end != nil {
				args = args[:end[0]] // or is somebody else's
			}
			lines++
			words := shellWords(args)
			cmd, rest, err := newApp().command().Find(words)
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

// shellWords are the words of a command line, which may have single quotes.
func shellWords(line string) (words []string) {
	for i, part := range strings.Split(line, "'") {
		if i%2 == 1 {
			words = append(words, part)
		} else {
			words = append(words, strings.Fields(part)...)
		}
	}
	return words
}

// The JSON of docs/commands.md is what commands print.
func TestDocumentedJSON(t *testing.T) {
	text, err := os.ReadFile("../../docs/commands.md")
	if err != nil {
		t.Fatal(err)
	}
	_, block, found := bytes.Cut(text, []byte("```json\n"))
	block, _, ended := bytes.Cut(block, []byte("```"))
	if !found || !ended {
		t.Fatal("there is no JSON in docs/commands.md")
	}
	type remark struct{ Node, Reason, Age string }
	var shown struct {
		Version                 int
		At                      time.Time
		Missing, Lacking, Stale []remark
		NoNodes                 bool             `json:"no_nodes"`
		Rows                    []map[string]any `json:"rows"`
	}
	d := json.NewDecoder(bytes.NewReader(block))
	d.DisallowUnknownFields()
	if err := d.Decode(&shown); err != nil {
		t.Fatal(err)
	}
	answer := report.Answer{At: shown.At, NoNodes: shown.NoNodes}
	for kind, remarks := range map[report.Kind][]remark{report.Missing: shown.Missing, report.Lacking: shown.Lacking, report.Stale: shown.Stale} {
		for _, r := range remarks {
			age, _ := time.ParseDuration(r.Age)
			answer.Remarks = append(answer.Remarks, report.Remark{Kind: kind, Node: r.Node, Reason: r.Reason, Age: report.Age(age)})
		}
	}
	var out bytes.Buffer
	if err := answer.Write(&out, len(shown.Rows), func(i int) map[string]any { return shown.Rows[i] }); err != nil {
		t.Fatal(err)
	}
	var a, b any
	if json.Unmarshal(block, &a) != nil || json.Unmarshal(out.Bytes(), &b) != nil || !reflect.DeepEqual(a, b) {
		t.Errorf("%s\nis written as\n%s", block, &out)
	}
}
