package vfstest

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// sysAdmin is what setcap cap_sys_admin+ep writes: struct vfs_cap_data of
// linux/capability.h, revision 2.
var sysAdmin = []byte{1, 0, 0, 2, 0, 0, 1 << (unix.CAP_SYS_ADMIN - 16), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}

// BuildHelper builds aggrfs-ns in a directory, with its capability.
func BuildHelper(t testing.TB, dir string) string {
	t.Helper()
	path := filepath.Join(dir, "aggrfs-ns")
	build := exec.Command("go", "build", "-o", path, "github.com/aggrfs/aggrfs/cmd/aggrfs-ns")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build aggrfs-ns: %v: %s", err, out)
	}
	if err := os.Chmod(path, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setxattr(path, "security.capability", sysAdmin, 0); err != nil {
		t.Fatal("setcap:", err)
	}
	return path
}
