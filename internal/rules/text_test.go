package rules

import (
	"fmt"
	"go/ast"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestPackageComments(t *testing.T) {
	for _, p := range packages(t) {
		_, files := parse(t, p)
		if len(files) == 0 {
			continue // tests only
		}
		want := "Package " + p.Name + " "
		if p.Name == "main" {
			want = "Command " + filepath.Base(p.Dir) + " "
		}
		var found []string
		for _, f := range files {
			if f.Doc != nil {
				found = append(found, f.Doc.Text())
			}
		}
		if len(found) != 1 || !strings.HasPrefix(found[0], want) {
			t.Errorf("%s: %d package comments; want one that begins with %q", p.path(), len(found), want)
		}
	}
}

// plain are methods whose name says what they do, by an interface that every
// reader of Go knows.
var plain = map[string]bool{"Error": true, "String": true, "Unwrap": true, "Len": true, "Close": true}

func TestExportedNamesAreDocumented(t *testing.T) {
	for _, p := range packages(t) {
		set, files := parse(t, p)
		for _, f := range files {
			for _, d := range f.Decls {
				for _, name := range undocumented(d) {
					t.Errorf("%s: %s has no comment", place(set, name.Pos()), name.Name)
				}
				if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" && !locksThread(f, fn) {
					t.Errorf("%s: an init function", place(set, fn.Pos()))
				}
			}
		}
	}
}

// locksThread reports whether an init function does nothing but keep a program's first thread
// for main, which can be done nowhere else (runtime.LockOSThread).
func locksThread(f *ast.File, fn *ast.FuncDecl) bool {
	if f.Name.Name != "main" || len(fn.Body.List) != 1 {
		return false
	}
	stmt, ok := fn.Body.List[0].(*ast.ExprStmt)
	if !ok {
		return false
	}
	call, ok := stmt.X.(*ast.CallExpr)
	if !ok {
		return false
	}
	sel, ok := call.Fun.(*ast.SelectorExpr)
	return ok && sel.Sel.Name == "LockOSThread"
}

// undocumented are the exported names of a declaration that have no comment,
// neither their own nor their group's.
func undocumented(d ast.Decl) []*ast.Ident {
	var names []*ast.Ident
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Doc == nil && d.Name.IsExported() && (d.Recv == nil || exportedReceiver(d) && !plain[d.Name.Name]) {
			names = append(names, d.Name)
		}
	case *ast.GenDecl:
		if d.Doc != nil {
			return nil
		}
		for _, spec := range d.Specs {
			switch s := spec.(type) {
			case *ast.TypeSpec:
				if s.Doc == nil && s.Comment == nil && s.Name.IsExported() {
					names = append(names, s.Name)
				}
			case *ast.ValueSpec:
				for _, n := range s.Names {
					if s.Doc == nil && s.Comment == nil && n.IsExported() {
						names = append(names, n)
					}
				}
			}
		}
	}
	return names
}

func exportedReceiver(d *ast.FuncDecl) bool { return ast.IsExported(receiver(d)) }

// receiver is the name of the type that a method belongs to.
func receiver(d *ast.FuncDecl) string {
	t := d.Recv.List[0].Type
	if star, ok := t.(*ast.StarExpr); ok {
		t = star.X
	}
	switch index := t.(type) {
	case *ast.IndexExpr:
		t = index.X
	case *ast.IndexListExpr:
		t = index.X
	}
	if name, ok := t.(*ast.Ident); ok {
		return name.Name
	}
	return ""
}

func place(set *token.FileSet, pos token.Pos) string {
	p := set.Position(pos)
	name := p.Filename
	if abs, err := filepath.Abs(root); err == nil {
		if rel, err := filepath.Rel(abs, name); err == nil {
			name = rel
		}
	}
	return fmt.Sprintf("%s:%d", name, p.Line)
}

// forbidden is what no file of the project contains. The expressions are
// written so that they do not match themselves.
var forbidden = map[string]string{
	`TO[D]O|FIX[M]E`:                   "unfinished work has no place here: do it",
	`\bt\.Ski[p](f|Now)?\(`:            "a test runs or fails, it is not left out",
	`(^|[^\w.-])/wor[k]/|/tmp/brie[f]`: "a path of one machine",
	`^(<{7}|>{7}) `:                    "a merge that was not finished",
}

// maxSize is the largest a file under version control may be, in bytes: one that is larger has
// been built, not written.
const maxSize = 256 << 10

func TestNothingBuiltIsKept(t *testing.T) {
	for _, name := range sources(t) {
		info, err := os.Stat(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() > maxSize {
			t.Errorf("%s has %d bytes: what is built does not belong under version control", name, info.Size())
		}
	}
}

func TestTexts(t *testing.T) {
	expressions := make(map[*regexp.Regexp]string)
	for text, why := range forbidden {
		expressions[regexp.MustCompile(text)] = why
	}
	for _, name := range sources(t) {
		if strings.Contains(name, "testdata/") {
			continue // what others wrote, and what fuzzing found
		}
		content, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range strings.Split(string(content), "\n") {
			for e, why := range expressions {
				if found := e.FindString(line); found != "" {
					t.Errorf("%s:%d: %q: %s", name, i+1, found, why)
				}
			}
		}
	}
}
