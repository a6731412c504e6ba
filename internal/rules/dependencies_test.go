package rules

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestDependencies compares three lists: what the code imports, what go.mod
// has, and what docs/dependencies.md explains. The versions must be equal and
// exact; what is explained must be used.
func TestDependencies(t *testing.T) {
	versions := required(t)
	direct := make(map[string]string) // module: who imports it
	for _, p := range packages(t) {
		for _, list := range [][]string{p.Imports, p.TestImports, p.XTestImports} {
			for _, path := range list {
				if first, _, _ := strings.Cut(path, "/"); !strings.Contains(first, ".") || within(path, module) {
					continue
				}
				if m := moduleOf(path, versions); m == "" {
					t.Errorf("%s imports %s, which go.mod does not have", p.path(), path)
				} else {
					direct[m] = p.path()
				}
			}
		}
	}
	explained := explained(t)
	for m, by := range direct {
		switch listed, ok := explained[m]; {
		case !ok:
			t.Errorf("%s (imported by %s) is not in docs/dependencies.md", m, by)
		case listed != versions[m]:
			t.Errorf("docs/dependencies.md has %s at %s, go.mod at %s", m, listed, versions[m])
		}
	}
	for m := range explained {
		if _, used := direct[m]; !used {
			t.Errorf("docs/dependencies.md explains %s, which nothing imports", m)
		}
	}
}

// required are the versions in go.mod.
func required(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	versions := make(map[string]string)
	for _, m := range regexp.MustCompile(`(?m)^(?:require)?\s+([\w./-]+\.[\w./-]+) (v\S+)`).FindAllStringSubmatch(string(text), -1) {
		versions[m[1]] = m[2]
	}
	if len(versions) == 0 {
		t.Fatal("go.mod requires nothing: this test cannot read it any more")
	}
	return versions
}

// moduleOf is the longest module path that a package is in.
func moduleOf(path string, versions map[string]string) string {
	best := ""
	for m := range versions {
		if within(path, m) && len(m) > len(best) {
			best = m
		}
	}
	return best
}

// explained are the modules and versions in docs/dependencies.md: lines such as
//
//	| `golang.org/x/sys` | v0.1.0 | why |
func explained(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "docs/dependencies.md"))
	if err != nil {
		t.Fatal(err)
	}
	modules := make(map[string]string)
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)` +\\| (v\\S+) +\\| [^|]{20,} \\|$").FindAllStringSubmatch(string(text), -1) {
		modules[m[1]] = m[2]
	}
	return modules
}
