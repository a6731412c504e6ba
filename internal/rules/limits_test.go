package rules

import (
	"go/ast"
	"go/scanner"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// What a reader can hold in mind. Tests are not counted.
const (
	fileLines      = 600  // lines of one file, all of them
	packageFiles   = 25   // files of one package
	packageLines   = 2500 // lines of one package that are neither blank nor only a comment
	filesOfMethods = 3    // files that the methods of one type stand in
)

// A limit is one of those that a package can be over.
type limit string

const (
	tooLong   limit = "a file of more than 600 lines"
	tooMany   limit = "more than 25 files"
	tooLarge  limit = "more than 2,500 lines of code"
	scattered limit = "a type with methods in more than three files"
)

// exceptions are the packages that are over a limit, each with the reason. One that is not
// needed any more fails the test.
var exceptions = map[string]struct {
	limits []limit
	why    string
}{
	"pkg/ninep": {[]limit{tooMany, tooLarge, scattered}, "both dialects, server and client, are one package until the next redesign"},

	"pkg/vfs/vfstest": {[]limit{scattered}, "the methods of suite are its tests, a file for each subject"},
	"test/vm/guest":   {[]limit{scattered}, "the methods of guest are its tests, a file for each subject"},
}

// codeLines counts the lines of Go that are neither blank nor only a comment.
func codeLines(name string, text []byte) int {
	set := token.NewFileSet()
	file := set.AddFile(name, set.Base(), len(text))
	var s scanner.Scanner
	s.Init(file, text, nil, 0)
	lines := make(map[int]bool)
	for {
		pos, tok, literal := s.Scan()
		if tok == token.EOF {
			return len(lines)
		}
		if tok == token.SEMICOLON && literal != ";" {
			continue // the scanner's own, at the end of a line
		}
		for i, line := range strings.Split(literal, "\n") {
			if i == 0 || strings.TrimSpace(line) != "" {
				lines[file.Line(pos)+i] = true
			}
		}
	}
}

// TestCodeLines counts a text with all there is to be counted.
func TestCodeLines(t *testing.T) {
	text := "// Package a.\npackage a\n\n/* long\n comment */\nvar x = `one\n\n// two`\n\nfunc f() {\n\treturn // here\n}\n"
	if n := codeLines("a.go", []byte(text)); n != 6 {
		t.Errorf("%d lines of code, want 6", n)
	}
}

// product reports whether a package is part of what is installed.
func product(path string) bool {
	return !within(path, "test") && !within(path, "internal/rules") && !strings.HasSuffix(path, "test")
}

// over are the limits that a package exceeds, each with those that are to blame, and its lines of code.
func over(t *testing.T, p listed) (map[limit][]string, int) {
	t.Helper()
	exceeded := make(map[limit][]string)
	// Files for other systems or with tags count as well; "vm" has only tests.
	files := slices.DeleteFunc(slices.Concat(p.GoFiles, p.CgoFiles, p.IgnoredGoFiles), func(name string) bool {
		return strings.HasSuffix(name, "_test.go")
	})
	lines := 0
	for _, name := range files {
		text, err := os.ReadFile(filepath.Join(p.Dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Count(string(text), "\n") > fileLines {
			exceeded[tooLong] = append(exceeded[tooLong], name)
		}
		lines += codeLines(name, text)
	}
	if len(files) > packageFiles {
		exceeded[tooMany] = []string{}
	}
	if lines > packageLines {
		exceeded[tooLarge] = []string{}
	}
	set, parsed := parse(t, p)
	methods := make(map[string]map[string]bool) // type: files
	for _, f := range parsed {
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv != nil {
				of := receiver(fn)
				if methods[of] == nil {
					methods[of] = make(map[string]bool)
				}
				methods[of][filepath.Base(set.Position(fn.Pos()).Filename)] = true
			}
		}
	}
	for _, of := range slices.Sorted(maps.Keys(methods)) {
		if len(methods[of]) > filesOfMethods {
			exceeded[scattered] = append(exceeded[scattered], of+" in "+strings.Join(slices.Sorted(maps.Keys(methods[of])), ", "))
		}
	}
	return exceeded, lines
}

// TestLimits holds every package to the limits, and prints the lines of code of the product.
func TestLimits(t *testing.T) {
	total, seen := 0, make(map[string]bool)
	for _, p := range packages(t) {
		exceeded, lines := over(t, p)
		if product(p.path()) {
			total += lines
			t.Logf("%6d lines of code in %s", lines, p.path())
		}
		seen[p.path()] = true
		excepted := exceptions[p.path()]
		for _, l := range excepted.limits {
			if _, needed := exceeded[l]; !needed {
				t.Errorf("%s does not have %s any more: take it from the exceptions", p.path(), l)
			}
		}
		for l, which := range exceeded {
			if !slices.Contains(excepted.limits, l) {
				t.Errorf("%s has %s: %s", p.path(), l, strings.Join(which, "; "))
			}
		}
	}
	t.Logf("%6d lines of code in all", total)
	for path := range exceptions {
		if !seen[path] {
			t.Errorf("the exceptions name %s, which is no package", path)
		}
	}
}
