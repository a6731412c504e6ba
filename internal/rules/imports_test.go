package rules

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// only says who alone may import a library, tests excepted.
var only = map[string]string{
	"github.com/cpuguy83/go-md2man/v2":              "internal/manual",
	"github.com/docker/go-p9p":                      "pkg/ninep",
	"github.com/expr-lang/expr":                     "internal/app/where",
	"github.com/hanwen/go-fuse/v2":                  "pkg/fusefs",
	"github.com/goccy/go-yaml":                      "internal/config/strict",
	"github.com/klauspost/compress":                 "pkg/snapshot",
	"github.com/prometheus/client_golang":           "internal/app/metrics",
	"kernel.org/pub/linux/libs/security/libcap/psx": "internal/privs",
	"github.com/rogpeppe/go-internal":               "",
	"github.com/google/go-cmp":                      "",
	"go.uber.org/goleak":                            "",
}

// anything is what the table of packages says of those that may import every package that
// stands below them.
const anything = "anything"

// A row is a package in the table of docs/architecture.md.
type row struct {
	pkg     string   // its path within the module; "test/..." is the whole of a directory
	imports []string // paths, sorted, or anything alone
}

// within reports whether path is dir or below it.
func within(path, dir string) bool { return path == dir || strings.HasPrefix(path, dir+"/") }

// covers reports whether the row is about the package.
func (r row) covers(path string) bool {
	if dir, ok := strings.CutSuffix(r.pkg, "/..."); ok {
		return within(path, dir)
	}
	return r.pkg == path
}

// short is a package's name in the table's column of imports.
func short(path string) string {
	return strings.TrimPrefix(strings.TrimPrefix(path, "pkg/"), "internal/")
}

// drawn reads the import graph out of docs/architecture.md: the rows of its table of packages,
// each with what the package imports of this module, in the order of the table.
func drawn(t *testing.T) []row {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "docs/architecture.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(text), "\n| package | in a sentence | imports |\n")
	if !found {
		t.Fatal("docs/architecture.md has no table of packages")
	}
	table, _, _ = strings.Cut(table, "\n\n")
	var rows []row
	paths := make(map[string]string) // by short name
	for _, cells := range regexp.MustCompile(`(?m)^\| (\S+) \| [^|]+ \| *([^|]*?) *\|$`).FindAllStringSubmatch(table, -1) {
		if cells[1] == "---" {
			continue
		}
		r := row{pkg: cells[1]}
		if cells[2] != "" {
			r.imports = strings.Split(cells[2], ", ")
		}
		if other, twice := paths[short(r.pkg)]; twice {
			t.Errorf("docs/architecture.md: %s and %s have the same short name", other, r.pkg)
		}
		paths[short(r.pkg)] = r.pkg
		rows = append(rows, r)
	}
	if len(rows) != strings.Count(table, "\n|") {
		t.Errorf("docs/architecture.md: %d of %d rows of the table of packages can be read", len(rows), strings.Count(table, "\n|"))
	}
	for i, r := range rows {
		for k, name := range r.imports {
			if path, known := paths[name]; known {
				rows[i].imports[k] = path
			} else if name != anything {
				t.Errorf("docs/architecture.md: %s imports %q, which has no row", r.pkg, name)
			}
		}
		slices.Sort(rows[i].imports)
	}
	return rows
}

// TestImportGraph compares the code with the table of packages in docs/architecture.md: every
// package has a row, imports what its row says, all of it and no more, and imports only packages
// that stand further below.
func TestImportGraph(t *testing.T) {
	rows, all := drawn(t), packages(t)
	for _, r := range rows {
		if !slices.ContainsFunc(all, func(p listed) bool { return r.covers(p.path()) }) {
			t.Errorf("docs/architecture.md has a row for %s, which is no package", r.pkg)
		}
	}
	for _, p := range all {
		from := p.path()
		at := slices.IndexFunc(rows, func(r row) bool { return r.covers(from) })
		if at < 0 {
			t.Errorf("%s has no row in docs/architecture.md", from)
			continue
		}
		imports := []string{}
		for _, imported := range p.Imports {
			to, ours := strings.CutPrefix(imported, module+"/")
			if !ours {
				continue
			}
			imports = append(imports, to)
			if why := never(from, to); why != "" {
				t.Errorf("%s imports %s: %s", from, to, why)
			}
			if below := slices.IndexFunc(rows, func(r row) bool { return r.covers(to) }); below < at {
				t.Errorf("%s imports %s, which stands above it in docs/architecture.md", from, to)
			}
		}
		slices.Sort(imports)
		if drawn := rows[at].imports; !slices.Equal(drawn, imports) && !slices.Equal(drawn, []string{anything}) {
			names := make([]string, len(imports))
			for i, path := range imports {
				names[i] = short(path)
			}
			t.Errorf("%s imports %q, and not %q as docs/architecture.md has it", from, strings.Join(names, ", "), rows[at].imports)
		}
	}
}

// fronts serve trees, and trees are served by them.
var (
	fronts = []string{"pkg/ninep", "pkg/fusefs"}
	trees  = []string{"pkg/aggregate", "pkg/procfs9p"}
)

// never says why no change of the table can let one package import the other, or "".
func never(from, to string) string {
	in := func(path string, dirs ...string) bool {
		return slices.ContainsFunc(dirs, func(dir string) bool { return within(path, dir) })
	}
	switch {
	case in(to, "cmd"):
		return "nothing imports a program"
	case in(to, "internal/app") && !in(from, "cmd", "internal/app"):
		return "what the programs are made of is for the programs"
	case in(to, "test", "pkg/vfs/vfstest", "internal/munge/mungetest", "internal/rules") && !in(from, "test"):
		return "only tests import it"
	case in(from, "internal") && !in(from, "internal/app") && in(to, "pkg") && to != "pkg/vfs" && to != "pkg/nodeset":
		return "what is internal stands below all packages but vfs and nodeset"
	case in(from, "pkg") && in(to, fronts...) && !in(from, fronts...), in(from, fronts...) && in(to, trees...):
		return "a front knows no tree, and a tree no front"
	case in(from, fronts[0]) && in(to, fronts[1]), in(from, fronts[1]) && in(to, fronts[0]),
		in(from, trees[0]) && in(to, trees[1]), in(from, trees[1]) && in(to, trees[0]):
		return "fronts do not know each other, and neither do trees"
	}
	return ""
}

// TestLibraries holds each library to the one package that hides it.
func TestLibraries(t *testing.T) {
	for _, p := range packages(t) {
		for _, imported := range p.Imports {
			for library, owner := range only {
				if within(imported, library) && (owner == "" || !within(p.path(), owner)) {
					t.Errorf("%s imports %s, which only %q may (\"\" is tests only)", p.path(), imported, owner)
				}
			}
		}
	}
}
