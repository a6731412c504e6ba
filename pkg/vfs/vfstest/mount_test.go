package vfstest

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// readOnly mounts a file system of the kernel's own, read-only, with one of
// everything in it.
func readOnly(t *testing.T, flags uintptr) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m,mode=0755"); err != nil {
		t.Fatalf("mount (this test runs as root): %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	for _, err := range []error{
		os.MkdirAll(filepath.Join(dir, "1/task/1"), 0o755),
		os.WriteFile(filepath.Join(dir, "1/stat"), []byte("1 (init) S"), 0o444),
		os.WriteFile(filepath.Join(dir, "1/status"), []byte(strings.Repeat("Name:\tinit\n", 1000)), 0o444),
		os.WriteFile(filepath.Join(dir, "1/empty"), nil, 0o444),
		os.Symlink("1", filepath.Join(dir, "self")),
		syscall.Mount("", dir, "", syscall.MS_REMOUNT|flags, ""),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestMountOfTheKernel runs the suite over what must be right.
func TestMountOfTheKernel(t *testing.T) {
	TestMount(t, readOnly(t, syscall.MS_RDONLY), Options{})
}

// TestMountFindsFaults has a mount that can be written to.
func TestMountFindsFaults(t *testing.T) {
	r := new(recorder)
	m := newMount(readOnly(t, 0), Options{Unlisted: []string{"1/none"}})
	m.reporter = r
	for _, c := range mountChecks {
		c.run(m)
	}
	said := strings.Join(r.said, "\n")
	for _, want := range []string{"not EROFS", `"1/none": lstat`} {
		if !strings.Contains(said, want) {
			t.Errorf("the suite does not say %q, but:\n%s", want, said)
		}
	}
}
