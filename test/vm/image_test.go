//go:build vm

package vm

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// programs are built for the image, static. The guest is its init.
var programs = map[string]string{
	"init":        "github.com/aggrfs/aggrfs/test/vm/guest",
	"bin/aggrfs":  "github.com/aggrfs/aggrfs/cmd/aggrfs",
	"bin/procsrv": "github.com/aggrfs/aggrfs/cmd/procsrv",
}

// tools are copied from this machine, with their libraries and what else they open.
var tools = map[string]string{ // and the Debian package that has them
	"/usr/bin/ps":     "procps",
	"/usr/bin/top":    "procps",
	"/usr/bin/pgrep":  "procps",
	"/usr/bin/pstree": "psmisc",
	"/usr/bin/mount":  "mount",
	"/usr/bin/umount": "mount",
}

// files are written.
var files = map[string]string{
	"etc/passwd": "root:x:0:0::/:/bin/sh\nann:x:1001:1001::/:/bin/sh\nbob:x:1002:1002::/:/bin/sh\neve:x:1003:1003::/:/bin/sh\n",
	"etc/group":  "root:x:0:\nann:x:1001:\nbob:x:1002:\neve:x:1003:\n",
}

// makeImage makes the initramfs and returns its path.
func makeImage(t *testing.T, kernel string) string {
	t.Helper()
	root := filepath.Join(t.TempDir(), "root")
	for to, pkg := range programs {
		build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags=-s -w", "-o", filepath.Join(root, to), pkg)
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("build %s: %v\n%s", pkg, err, out)
		}
	}
	for path, pkg := range tools {
		if _, err := os.Stat(path); err != nil {
			t.Fatalf("%v: it is in the Debian package %s (run: make test-vm, which installs it)", err, pkg)
		}
		copyFile(t, path, filepath.Join(root, path))
		for _, library := range libraries(t, path) {
			copyFile(t, library, filepath.Join(root, library))
		}
	}
	copyFile(t, "/lib/terminfo/d/dumb", filepath.Join(root, "lib/terminfo/d/dumb"))
	copyFile(t, busybox(t), filepath.Join(root, "bin/busybox"))
	copyFile(t, "../../docs/mount.md", filepath.Join(root, "mount.md"))
	modules, err := filepath.Glob(filepath.Join(kernel, "*.ko"))
	if err != nil || len(modules) == 0 {
		t.Fatalf("%s has no kernel modules: %v", kernel, err)
	}
	for _, m := range modules {
		copyFile(t, m, filepath.Join(root, "modules", filepath.Base(m)))
	}
	for name, text := range files {
		write(t, filepath.Join(root, name), []byte(text), 0o644)
	}
	return pack(t, root)
}

// busybox is the static one: its sleep and sh are the guest's processes, and its
// cpio makes the image.
func busybox(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("busybox")
	if err == nil && len(libraries(t, path)) == 0 {
		return path
	}
	t.Fatalf("there is no static busybox (%q, %v): it is in the Debian package busybox-static (run: make test-vm, which installs it)", path, err)
	return ""
}

var libraryPath = regexp.MustCompile(`(?m)(?:^\s*|=> )(/\S+) \(0x`)

// libraries are the files that a program is linked with, by ldd(1).
func libraries(t *testing.T, program string) (paths []string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "ldd", program).CombinedOutput()
	if err != nil && !bytes.Contains(out, []byte("not a dynamic executable")) {
		t.Fatalf("ldd %s: %v\n%s", program, err, out)
	}
	for _, m := range libraryPath.FindAllStringSubmatch(string(out), -1) {
		paths = append(paths, m[1])
	}
	return paths
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	content, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	write(t, to, content, 0o755)
}

func write(t *testing.T, path string, content []byte, mode fs.FileMode) {
	t.Helper()
	err := os.MkdirAll(filepath.Dir(path), 0o755)
	if err == nil {
		err = os.WriteFile(path, content, mode)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// pack makes a cpio archive of a directory, in the format that the kernel unpacks,
// see its Documentation/driver-api/early-userspace/buffer-format.rst.
func pack(t *testing.T, root string) string {
	t.Helper()
	var names strings.Builder
	if err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if rel, _ := filepath.Rel(root, path); rel != "." {
			names.WriteString(rel + "\n")
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	image := root + ".cpio"
	f, err := os.Create(image)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), "busybox", "cpio", "-o", "-H", "newc")
	cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr = root, strings.NewReader(names.String()), f, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("cpio: %v: %s", err, &stderr)
	}
	return image
}
