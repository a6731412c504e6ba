package gpid

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Indexes stay with their nodes, over restarts and when nodes come and go; one
// that is free is dealt again only when there is no other.
func TestState(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", "gpids.json")
	var n *Numbering
	deal := func(names ...NodeName) {
		t.Helper()
		var err error
		if n, err = Open(path, Fixed, names); err != nil {
			t.Fatal(err)
		}
	}
	deal("b", "a")
	deal("a", "c")
	deal("a", "b", "c", "d")
	for name, want := range map[NodeName]int{"b": 1, "a": 2, "c": 3, "d": 4} {
		if index, ok := n.Index(name); !ok || index != want {
			t.Errorf("%s has index %d, want %d", name, index, want)
		}
	}
	var many []NodeName
	for i := range maxFixedIndex {
		many = append(many, NodeName(fmt.Sprintf("m%d", i)))
	}
	deal(many...)
	seen := map[int]bool{}
	for _, name := range many {
		i, _ := n.Index(name)
		if i < 1 || i > maxFixedIndex || seen[i] {
			t.Errorf("%s has index %d", name, i)
		}
		seen[i] = true
	}
	if _, err := Open(path, Fixed, append(many, "one-more")); err == nil || !strings.Contains(err.Error(), "213") {
		t.Errorf("a node too many: %v", err)
	}
}

// What cannot be understood is refused: to go on would move gpids.
func TestBadState(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gpids.json")
	for _, text := range []string{
		"", "null", "{", `{"version":1,"mode":"fixed"}`, `{"version":1,"mode":"fixed","nodes":null}`,
		`{"version":2,"mode":"fixed","nodes":{}}`, `{"version":1,"mode":"paged","nodes":{}}`,
		`{"version":1,"mode":"fixed","nodes":{"a":0}}`, `{"version":1,"mode":"fixed","nodes":{"a":214}}`,
		`{"version":1,"mode":"fixed","nodes":{"a":1,"b":1}}`,
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path, Fixed, []NodeName{"a"}); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%q: %v", text, err)
		}
	}
}
