package aggregate

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
	s, err := LoadState(path, Fixed)
	if err != nil {
		t.Fatal(err)
	}
	deal := func(names ...NodeName) {
		t.Helper()
		if _, err := s.Deal(names); err != nil {
			t.Fatal(err)
		}
		if err := s.Save(path); err != nil {
			t.Fatal(err)
		}
		if s, err = LoadState(path, Fixed); err != nil {
			t.Fatal(err)
		}
	}
	deal("b", "a")
	deal("a", "c")
	deal("a", "b", "c", "d")
	for name, want := range map[NodeName]int{"b": 1, "a": 2, "c": 3, "d": 4} {
		if s.Nodes[name] != want {
			t.Errorf("%s has index %d, want %d", name, s.Nodes[name], want)
		}
	}
	var many []NodeName
	for i := range MaxIndex {
		many = append(many, NodeName(fmt.Sprintf("m%d", i)))
	}
	deal(many...)
	seen := map[int]bool{}
	for _, n := range many {
		if i := s.Nodes[n]; i < 1 || i > MaxIndex || seen[i] {
			t.Errorf("%s has index %d", n, i)
		}
		seen[s.Nodes[n]] = true
	}
	if _, err := s.Deal(append(many, "one-more")); err == nil || !strings.Contains(err.Error(), "213") {
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
		if _, err := LoadState(path, Fixed); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%q: %v", text, err)
		}
	}
}
