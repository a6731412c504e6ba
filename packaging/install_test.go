package packaging

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The directories of the test's installation.
var (
	dest   string // DESTDIR
	prefix = "/opt/aggrfs"
)

func TestMain(m *testing.M) { os.Exit(runTests(m)) }

func runTests(m *testing.M) int {
	dir, err := os.MkdirTemp("", "aggrfs-packaging-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	bin := filepath.Join(dir, "bin")
	programs := []string{"./cmd/aggrfs", "./cmd/procsrv"}
	if _, err := os.Stat("../cmd/aggrfs-ns"); err == nil {
		programs = append(programs, "./cmd/aggrfs-ns")
	}
	build := exec.Command("go", append([]string{"build", "-trimpath", "-ldflags", "-s -w", "-o", bin + "/"}, programs...)...)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	dest = filepath.Join(dir, "dest")
	for _, cmd := range []*exec.Cmd{build, install(bin)} {
		cmd.Dir = ".."
		if out, err := cmd.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "%v: %v\n%s", cmd, err, out)
			return 1
		}
	}
	return m.Run()
}

// install is make install of programs that have been built.
func install(bin string) *exec.Cmd {
	cmd := exec.Command("make", "-o", "build", "install", "BIN="+bin, "DESTDIR="+dest, "PREFIX="+prefix, "SYSCONFDIR=/opt/etc")
	cmd.Dir = ".."
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "MAKE") && !strings.HasPrefix(v, "MFLAGS") { // those of a make that runs the tests
			cmd.Env = append(cmd.Env, v)
		}
	}
	return cmd
}

// installed reads a file of the installation.
func installed(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dest, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestInstall(t *testing.T) {
	for path, mode := range map[string]os.FileMode{
		"bin/aggrfs": 0o755, "sbin/procsrv": 0o755, "lib/sysusers.d/aggrfs.conf": 0o644, "lib/tmpfiles.d/aggrfs.conf": 0o644,
		"lib/systemd/system/aggrfs.service": 0o644, "share/doc/aggrfs/README.md": 0o644,
		"share/doc/aggrfs/packaging/procsrv-control.conf":          0o644,
		"share/doc/aggrfs/packaging/prometheus/aggrfs-alerts.yaml": 0o644, "share/doc/aggrfs/packaging/prometheus/aggrfs-dashboard.json": 0o644,
		"lib/sysusers.d/procsrv.conf":        0o644,
		"share/doc/aggrfs/docs/namespace.md": 0o644, "share/doc/aggrfs/configs/aggrfs.yaml": 0o644,
		"share/man/man1/aggrfs-ps.1": 0o644, "share/man/man5/aggrfs.yaml.5": 0o644, "share/man/man7/aggrfs-tree.7": 0o644, "share/man/man8/procsrv.8": 0o644,
		"share/bash-completion/completions/aggrfs": 0o644, "share/zsh/site-functions/_aggrfs": 0o644, "share/fish/vendor_completions.d/procsrv.fish": 0o644,
	} {
		info, err := os.Stat(filepath.Join(dest, prefix, path))
		if err != nil || info.Mode() != mode {
			t.Errorf("%s: %v, %v", path, info, err)
		}
	}
	if _, err := os.Stat("../cmd/aggrfs-ns"); err == nil {
		if _, err := os.Stat(filepath.Join(dest, prefix, "libexec/aggrfs/aggrfs-ns")); err != nil {
			t.Error(err)
		}
	}
}

// TestInstallAgain keeps the configuration that is there.
func TestInstallAgain(t *testing.T) {
	const edited = "version: 1 # edited\n"
	path := filepath.Join(dest, "/opt/etc/aggrfs/aggrfs.yaml")
	if err := os.WriteFile(path, []byte(edited), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := install(filepath.Join(filepath.Dir(dest), "bin")).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if now := installed(t, "/opt/etc/aggrfs/aggrfs.yaml"); now != edited {
		t.Errorf("the configuration is now %q", now)
	}
}

// TestUsers looks for the users that units and directories name.
func TestUsers(t *testing.T) {
	users := map[string]bool{"root": true}
	for _, file := range []string{"aggrfs.conf", "procsrv.conf"} {
		for line := range strings.Lines(installed(t, prefix+"/lib/sysusers.d/"+file)) {
			if f := strings.Fields(line); len(f) > 1 && f[0] == "u" {
				users[f[1]] = true
			}
		}
	}
	for line := range strings.Lines(installed(t, prefix+"/lib/tmpfiles.d/aggrfs.conf")) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		if f := strings.Fields(line); len(f) != 6 || f[0] != "d" || !users[f[3]] || !users[f[4]] {
			t.Errorf("%q: not a directory of a user that is made", line)
		}
	}
	for _, name := range units {
		u := readUnit(t, name)
		if who := u.get(t, "Service", "User"); !users[who] || u.get(t, "Service", "Group") != who {
			t.Errorf("%s runs as %s, who is not made", name, who)
		}
	}
}
