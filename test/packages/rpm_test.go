//go:build packages

package packages

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestRPM installs the rpms in a root in which nothing runs, upgrades, verifies and erases them.
// What they need is there, but not as rpms.
func TestRPM(t *testing.T) {
	root := unpack(t)
	rpm := func(args ...string) string {
		t.Helper()
		return command(t, "rpm", append([]string{"--root", root, "--dbpath", "/var/lib/rpm"}, args...)...)
	}
	find := func(dir string) []string {
		return []string{one(t, dir, "aggrfs-0*.x86_64.rpm"), one(t, dir, "aggrfs-node-0*.x86_64.rpm")}
	}
	rpm(append([]string{"--install", "--nodeps"}, find(older)...)...)
	config := filepath.Join(root, "etc/aggrfs/aggrfs.yaml")
	const edited = "version: 1 # edited\n"
	if err := os.WriteFile(config, []byte(edited), 0o644); err != nil {
		t.Fatal(err)
	}
	rpm(append([]string{"--upgrade", "--nodeps", "--oldpackage", "--replacepkgs"}, find(fresh)...)...)
	if text, err := os.ReadFile(config); err != nil || string(text) != edited {
		t.Errorf("after the upgrade the configuration is %q, %v", text, err)
	}
	// The capability is not in the package.
	if out := rpm("--verify", "--nodeps", "--nocaps", "aggrfs-node"); out != "" {
		t.Errorf("rpm --verify: %s", out)
	}
	passwd, err := os.ReadFile(filepath.Join(root, "etc/passwd"))
	if err != nil || !strings.Contains(string(passwd), "\naggrfs:") || !strings.Contains(string(passwd), "\nprocsrv:") {
		t.Errorf("no users were made: %q, %v", passwd, err)
	}
	if out := command(t, "getcap", filepath.Join(root, "usr/libexec/aggrfs/aggrfs-ns")); !strings.Contains(out, "cap_sys_admin=ep") {
		t.Errorf("the helper has %q", out)
	}
	files := strings.Fields(rpm("--query", "--list", "aggrfs", "aggrfs-node"))
	rpm("--erase", "aggrfs", "aggrfs-node")
	for _, path := range files {
		if _, err := os.Lstat(filepath.Join(root, path)); err == nil && path != "/etc/aggrfs" {
			t.Errorf("%s is left", path)
		}
	}
	if _, err := os.Stat(config + ".rpmsave"); err != nil {
		t.Errorf("the configuration that was edited is not kept: %v", err)
	}
}
