package atomicfile_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/aggrfs/aggrfs/internal/atomicfile"
)

// names are those in a directory.
func names(t *testing.T, dir string) (all []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

func TestWrite(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a")
	for _, want := range []struct {
		text string
		perm fs.FileMode
	}{{"one", 0o600}, {"two", 0o644}, {"", 0o640}} {
		if err := atomicfile.Write(path, []byte(want.text), want.perm); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(path)
		if err != nil || string(text) != want.text {
			t.Errorf("%q, %v", text, err)
		}
		if info, err := os.Stat(path); err != nil || info.Mode() != want.perm {
			t.Errorf("%v, %v", info.Mode(), err)
		}
	}
	if got := names(t, dir); len(got) != 1 {
		t.Errorf("left: %q", got)
	}
	if err := atomicfile.Write(filepath.Join(dir, "none", "a"), nil, 0o600); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

// What fails leaves what was there, and nothing else.
func TestFailure(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a")
	if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := atomicfile.Create(path, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := f.Stat(); err != nil || info.Mode() != 0o600 {
		t.Errorf("others can open it: %v, %v", info.Mode(), err)
	}
	if _, err := f.WriteString("new"); err != nil {
		t.Fatal(err)
	}
	if err := f.Link(); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a name that something has: %v", err)
	}
	f.Discard()
	if text, err := os.ReadFile(path); err != nil || string(text) != "old" {
		t.Errorf("%q, %v", text, err)
	}
	if got := names(t, dir); len(got) != 1 {
		t.Errorf("left: %q", got)
	}
}

// A file with its name can still be written, as a journal is.
func TestStaysOpen(t *testing.T) {
	for name, place := range map[string]func(*atomicfile.File) error{"replace": (*atomicfile.File).Replace, "link": (*atomicfile.File).Link} {
		path := filepath.Join(t.TempDir(), "a")
		f, err := atomicfile.Create(path, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		if err := place(f); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if _, err := f.WriteString("more"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		f.Discard()
		if text, err := os.ReadFile(path); err != nil || string(text) != "more" {
			t.Errorf("%s: %q, %v", name, text, err)
		}
	}
}
