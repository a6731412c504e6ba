package rules

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A word is one that this project made up for something that has a name in the field, or a
// phrase that Go's documentation words in another way.
type word struct {
	old *regexp.Regexp
	say string // instead, by the glossary of docs/architecture.md
}

// phrases are refused in comments, in any case.
var phrases = []word{
	{regexp.MustCompile(`(?i)\b(tells?|says?|knows?) whether\b`), "reports whether"},
	{regexp.MustCompile(`(?i)\b(who|whoever|whom|somebody who|those who) asks?\b`), "the requester"},
	{regexp.MustCompile(`(?i)\bwhat is (held|kept)\b`), "what is cached, or what is in memory"},
	{regexp.MustCompile(`(?i)\bmay be kept\b`), "may be cached"},
	{regexp.MustCompile(`(?i)\b(is|are|was|were|be|been) brought\b`), "is fetched, or is read ahead"},
	{regexp.MustCompile(`(?i)\b(times|requests|processes|questions|failures|files) in a row\b`), "one after another; for processes: read-ahead"},
	{regexp.MustCompile(`(?i)\bmade (file|director(y|ie)|dir)s?\b`), "a synthetic file"},
	{regexp.MustCompile(`(?i)\bpass(es|ed)? on (the |a )?(snapshot|answer|table)s?\b`), "relay"},
	{regexp.MustCompile(`(?i)\bthe house('s)?\b`), "the project"},
}

// identifiers are refused as what a declared type, function, method, field, constant or package
// variable is called: as the first words of its name, after Test and the like.
var identifiers = []word{
	{regexp.MustCompile(`^(?i:made)(File|Dir|$)`), "synthetic"},
	{regexp.MustCompile(`^(?i:kept)([A-Z]|$)`), "cached"},
	{regexp.MustCompile(`^(?i:aheads?)([A-Z]|$)`), "readAhead"},
	{regexp.MustCompile(`^(?i:asked|whoAsks)([A-Z]|$)`), "requested, or the requester"},
	{regexp.MustCompile(`^(?i:brought)([A-Z]|$)`), "fetched"},
	{regexp.MustCompile(`^(?i:passOn)([A-Z]|$)`), "relay"},
}

// files are refused as the names of files, without _test and .go.
var files = []word{
	{regexp.MustCompile(`^(made|kept|ahead|asked|told|gone|held|brought)`), "what it has, by the glossary"},
	{regexp.MustCompile(`^(passon)$`), "relay"},
	{regexp.MustCompile(`^(zoo|never|look|named|lacking)$`), "what it shows"},
}

// oldIn is the first of the words that text has, or nil.
func oldIn(words []word, text string) *word {
	if i := slices.IndexFunc(words, func(w word) bool { return w.old.MatchString(text) }); i >= 0 {
		return &words[i]
	}
	return nil
}

// declared are the names that a file declares for more than one function.
func declared(f *ast.File) (all []*ast.Ident) {
	fields := func(n ast.Node) {
		ast.Inspect(n, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.StructType:
				for _, field := range n.Fields.List {
					all = append(all, field.Names...)
				}
			case *ast.InterfaceType:
				for _, method := range n.Methods.List {
					all = append(all, method.Names...)
				}
			}
			return true
		})
	}
	for _, d := range f.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			all = append(all, d.Name)
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				switch s := spec.(type) {
				case *ast.TypeSpec:
					all = append(all, s.Name)
					fields(s.Type)
				case *ast.ValueSpec:
					all = append(all, s.Names...)
				}
			}
		}
	}
	return all
}

// trimTest is a name without what go test wants to see in front or behind.
var trimTest = regexp.MustCompile(`^(Test|Benchmark|Fuzz|Example)|(_test)?\.go$`)

// TestWords refuses the old words in what Go files declare, in their comments and in their names.
func TestWords(t *testing.T) {
	found := make(map[string][]string) // package: places
	for _, name := range sources(t) {
		if filepath.Ext(name) != ".go" || strings.Contains(name, "testdata/") || within(name, "internal/rules") {
			continue
		}
		set := token.NewFileSet()
		f, err := parser.ParseFile(set, filepath.Join(root, name), nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		dir := filepath.Dir(name)
		report := func(pos token.Pos, text string, w *word) {
			if w != nil {
				found[dir] = append(found[dir], place(set, pos)+": "+w.old.FindString(text)+" (say: "+w.say+") in "+text)
			}
		}
		base := trimTest.ReplaceAllString(filepath.Base(name), "")
		report(f.Package, base, oldIn(files, base))
		for _, id := range declared(f) {
			text := trimTest.ReplaceAllString(id.Name, "")
			report(id.Pos(), text, oldIn(identifiers, text))
		}
		for _, group := range f.Comments {
			// A phrase may be broken over lines.
			text := strings.Join(strings.Fields(group.Text()), " ")
			for _, w := range phrases {
				if at := w.old.FindStringIndex(text); at != nil {
					report(group.Pos(), text[max(0, at[0]-60):min(len(text), at[1]+60)], &w)
				}
			}
		}
	}
	for dir, places := range found {
		t.Errorf("%s has words that the glossary of docs/architecture.md has others for:\n%s", dir, strings.Join(places, "\n"))
	}
}
