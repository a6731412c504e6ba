package filewatch_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/internal/filewatch"
)

func TestChanged(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.WriteFile(in("a"), []byte("one"), 0o600))
	must(os.WriteFile(in("other"), []byte("one"), 0o600))
	var w filewatch.Watch
	paths := []string{in("a"), in("b")}
	look := func(what string, want bool) {
		t.Helper()
		if got := w.Changed(paths...); got != want {
			t.Errorf("%s: %v", what, got)
		}
		if w.Changed(paths...) {
			t.Errorf("%s: changed at the second look too", what)
		}
	}
	look("the first look", true)
	for _, step := range []struct {
		what string
		do   func() error
		want bool
	}{
		{"nothing", func() error { return nil }, false},
		{"another length", func() error { return os.WriteFile(in("a"), []byte("three"), 0o600) }, true},
		{"another mode", func() error { return os.Chmod(in("a"), 0o640) }, true},
		{"a file comes", func() error { return os.WriteFile(in("b"), nil, 0o600) }, true},
		{"a file goes", func() error { return os.Remove(in("b")) }, true},
		{"a link to a file", func() error { return os.Symlink("other", in("b")) }, true},
		{"what a link leads to", func() error { return os.WriteFile(in("other"), []byte("three"), 0o600) }, true},
		{"a link into nothing", func() error { return os.Remove(in("other")) }, true},
		{"another file in its place", func() error { return os.Rename(in("a"), in("b")) }, true},
		{"others", func() error { paths = paths[:1]; return nil }, true},
	} {
		must(step.do())
		look(step.what, step.want)
	}
}

// A file that was written just before it was looked at counts as changed until it has
// been left alone.
func TestSettle(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	w := filewatch.Watch{Settle: time.Hour}
	for range 3 {
		if !w.Changed(path) {
			t.Error("it counts as settled")
		}
	}
	w.Settle = time.Nanosecond
	w.Changed(path)
	if w.Changed(path) {
		t.Error("it does not settle")
	}
}
