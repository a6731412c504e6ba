package rules

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// layers says what each package of pkg/ may import of pkg/: only what is below
// it. A front serves any tree and knows none. Sub-packages belong to their
// parent, which they may not import.
var layers = map[string][]string{
	"pkg/vfs":         {},
	"pkg/nodeset":     {},
	"pkg/snapshot":    {"pkg/vfs"},
	"pkg/cachepolicy": {"pkg/vfs", "pkg/nodeset"},
	"pkg/procfs9p":    {"pkg/vfs", "pkg/snapshot"},
	"pkg/aggregate":   {"pkg/vfs", "pkg/nodeset", "pkg/snapshot", "pkg/cachepolicy"},
	"pkg/ninep":       {"pkg/vfs"},
	"pkg/fusefs":      {"pkg/vfs"},
}

// rooms says what each room of pkg/aggregate may import of the others. The package itself,
// their front, may import all, and none may import it.
var rooms = map[string][]string{
	"gpid":      {},
	"objectid":  {},
	"report":    {"gpid"},
	"foreign":   {},
	"upstream":  {"gpid"},
	"proctable": {"gpid", "upstream"},
	"view":      {"gpid", "objectid", "proctable"},
	"synthetic": {"objectid"},
	"remote":    {"gpid", "objectid", "proctable", "upstream", "view"},
	"tree":      {"gpid", "objectid", "proctable", "remote", "report", "synthetic", "upstream", "view"},
}

// only says who alone may import a library, tests excepted.
var only = map[string]string{
	"github.com/docker/go-p9p":                      "pkg/ninep",
	"github.com/hanwen/go-fuse/v2":                  "pkg/fusefs",
	"github.com/goccy/go-yaml":                      "internal/config/strict",
	"kernel.org/pub/linux/libs/security/libcap/psx": "internal/privs",
	"github.com/rogpeppe/go-internal":               "",
	"github.com/google/go-cmp":                      "",
	"go.uber.org/goleak":                            "",
}

// within reports whether path is dir or below it.
func within(path, dir string) bool { return path == dir || strings.HasPrefix(path, dir+"/") }

func TestImportDirection(t *testing.T) {
	for _, p := range packages(t) {
		from := p.path()
		for _, imported := range p.Imports {
			to, ours := strings.CutPrefix(imported, module+"/")
			if ours && !allowed(from, to) {
				t.Errorf("%s imports %s: see the layers in docs/architecture.md and in this test", from, to)
			}
			for library, owner := range only {
				if within(imported, library) && (owner == "" || !within(from, owner)) {
					t.Errorf("%s imports %s, which only %q may (\"\" is tests only)", from, imported, owner)
				}
			}
		}
	}
}

// allowed reports whether code of one package may import another of the module.
func allowed(from, to string) bool {
	switch {
	case within(to, "cmd"):
		return false
	case within(to, "test"):
		return within(from, "test")
	case within(to, "pkg/vfs/vfstest"), within(to, "internal/rules"):
		return within(from, "test") || from == to
	case from == "pkg/vfs/vfstest":
		return to == "pkg/vfs"
	case within(to, "internal/app"): // what the programs are made of
		return within(from, "cmd") || within(from, "internal/app")
	case from == "cmd/aggrfs": // flags, and one call each
		return within(to, "internal")
	case within(from, "cmd"), within(from, "test"):
		return true
	case within(from, "internal/app"):
		return within(to, "pkg") || within(to, "internal") || to == "configs"
	case to == "configs": // files, embedded by whom they are for
		return from == "pkg/cachepolicy"
	case within(from, "internal"):
		return within(to, "internal") || to == "pkg/vfs" || to == "pkg/nodeset"
	case within(to, "internal"):
		return within(from, "pkg")
	}
	room, isRoom := strings.CutPrefix(from, "pkg/aggregate/")
	if next, beside := strings.CutPrefix(to, "pkg/aggregate/"); isRoom && beside {
		return slices.Contains(rooms[room], next)
	}
	layer := strings.Join(strings.SplitN(from, "/", 3)[:2], "/")
	below, known := layers[layer]
	if within(to, layer) {
		return from == layer
	}
	return known && slices.ContainsFunc(below, func(b string) bool { return within(to, b) })
}

// TestEveryLayerIsKnown keeps the table complete.
func TestEveryLayerIsKnown(t *testing.T) {
	dirs, err := os.ReadDir(filepath.Join(root, "pkg"))
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range dirs {
		if _, known := layers["pkg/"+d.Name()]; !known {
			t.Errorf("pkg/%s is in no layer", d.Name())
		}
	}
	for _, p := range packages(t) {
		room, ok := strings.CutPrefix(p.path(), "pkg/aggregate/")
		if _, known := rooms[room]; ok && !known {
			t.Errorf("%s is no room that this test knows", p.path())
		}
	}
}
