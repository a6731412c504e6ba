package trusted

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestReadFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	write := func(mode os.FileMode) {
		t.Helper()
		if err := errors.Join(os.WriteFile(path, []byte("content"), 0o600), os.Chmod(path, mode)); err != nil {
			t.Fatal(err)
		}
	}
	refused := func(path, why string) {
		t.Helper()
		_, err := ReadFile(path, 100)
		var e *Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), why) || e.Path != path {
			t.Errorf("%s: %v, want one that says %q", path, err, why)
		}
	}
	write(0o664)
	if got, err := ReadFile(path, 7); err != nil || string(got) != "content" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := ReadFile(path, 6); err == nil {
		t.Error("a file that is too long was read")
	}
	write(0o646)
	refused(path, "chmod o-w")
	write(0o644)
	link := filepath.Join(dir, "link")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	refused(link, "is a link")
	fifo := filepath.Join(dir, "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	refused(fifo, "no regular file")
	if err := os.Chown(path, 12345, 0); err != nil {
		t.Fatal(err)
	}
	refused(path, "chown root")
	if _, err := ReadFile(filepath.Join(dir, "none"), 1); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

func TestCheckDir(t *testing.T) {
	dir := t.TempDir()
	if err := CheckDir(dir); err != nil {
		t.Error(err)
	}
	for _, mode := range []os.FileMode{0o777, 0o777 | os.ModeSticky} {
		if err := os.Chmod(dir, mode); err != nil {
			t.Fatal(err)
		}
		if err := CheckDir(dir); err == nil {
			t.Errorf("a directory of mode %v is trusted", mode)
		}
	}
}
