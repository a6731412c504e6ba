//go:build packages

package packages

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestReproducible compares what was made here with what was made of a copy.
func TestReproducible(t *testing.T) {
	files, err := os.ReadDir(fresh)
	if err != nil || len(files) != 9 {
		t.Fatalf("%d files, want two packages in two formats for two architectures, and SHA256SUMS; %v", len(files), err)
	}
	for _, f := range files {
		a, err := os.ReadFile(filepath.Join(fresh, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if b, err := os.ReadFile(filepath.Join(again, f.Name())); err != nil || !bytes.Equal(a, b) {
			t.Errorf("%s: %d bytes, and made again %d other ones, %v", f.Name(), len(a), len(b), err)
		}
	}
	if out := command(t, "env", "--chdir", fresh, "sha256sum", "--check", "--strict", "SHA256SUMS"); strings.Count(out, ": OK\n") != 8 {
		t.Errorf("checksums: %s", out)
	}
}

// TestLint has the tools of both distributions find no error.
func TestLint(t *testing.T) {
	debs, _ := filepath.Glob(filepath.Join(fresh, "*.deb"))
	rpms, _ := filepath.Glob(filepath.Join(fresh, "*.rpm"))
	if len(debs) != 4 || len(rpms) != 4 {
		t.Fatalf("%q, %q", debs, rpms)
	}
	// It leaves files there.
	if out := command(t, "env", append([]string{"TMPDIR=" + t.TempDir(), "lintian", "--allow-root", "--fail-on", "error", "--tag-display-limit", "0"}, debs...)...); out != "" {
		t.Logf("lintian: %s", out)
	}
	out := lintRPMs(t, rpms)
	if !strings.Contains(out, "4 packages and 0 specfiles checked; 0 errors") {
		t.Errorf("rpmlint: %s", out)
	}
}

// lintRPMs is what rpmlint says of packages. It unpacks them by cpio, which takes the paths in them,
// which are absolute, for those of this machine if it is not told otherwise. It is told, and could write
// nowhere but in a directory of the test's.
func lintRPMs(t *testing.T, rpms []string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "cpio"), []byte("#!/bin/sh\nexec /usr/bin/cpio --no-absolute-filenames \"$@\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return command(t, "unshare", append([]string{"--mount", "sh", "-ec",
		`mount --bind "$1" "$1"; mount -o remount,bind,ro /; export HOME="$1" TMPDIR="$1" PATH="$1:$PATH"; shift; exec rpmlint "$@"`,
		"sh", dir, "--config", source + "/packaging/rpmlint.toml"}, rpms...)...)
}

// TestContents: both formats have the same files for both architectures, but for what one of
// them wants, and programs are for their architecture.
func TestContents(t *testing.T) {
	for _, name := range []string{"aggrfs", "aggrfs-node"} {
		var lists [][]string
		for _, arch := range []struct{ deb, rpm string }{{"amd64", "x86_64"}, {"arm64", "aarch64"}} {
			deb, rpm := one(t, fresh, name+"_*_"+arch.deb+".deb"), one(t, fresh, name+"-0*."+arch.rpm+".rpm")
			var files []string
			for line := range strings.Lines(command(t, "dpkg-deb", "--contents", deb)) {
				fields := strings.Fields(line)
				if path := strings.TrimPrefix(fields[len(fields)-1], "."); fields[0][0] != 'd' {
					files = append(files, path)
				}
				if fields[1] != "root/root" {
					t.Errorf("%s: %s", deb, line)
				}
			}
			lists = append(lists, common(files))
			lists = append(lists, common(strings.Fields(command(t, "rpm", "--dbpath", t.TempDir(), "--query", "--list", "--package", rpm))))
			if got := strings.Fields(command(t, "rpm", "--dbpath", t.TempDir(), "--query", "--configfiles", "--package", rpm)); name == "aggrfs" && !slices.Equal(got, []string{"/etc/aggrfs/aggrfs.yaml", "/etc/aggrfs/cachepolicy.yaml"}) {
				t.Errorf("%s: configuration files %q", rpm, got)
			}
			programs := t.TempDir()
			command(t, "dpkg-deb", "--extract", deb, programs)
			for _, program := range []string{"usr/bin/aggrfs", "usr/libexec/aggrfs/aggrfs-ns", "usr/sbin/procsrv"} {
				elf, err := os.ReadFile(filepath.Join(programs, program))
				if err != nil && slices.Contains(files, "/"+program) {
					t.Error(err)
				}
				// e_machine of the ELF header, see elf(5).
				if err == nil && elf[18] != map[string]byte{"amd64": 62, "arm64": 183}[arch.deb] {
					t.Errorf("%s: %s is for machine %d", deb, program, elf[18])
				}
			}
		}
		for _, list := range lists[1:] {
			if !slices.Equal(lists[0], list) {
				t.Errorf("%s: packages with different files:\n%q\n%q", name, lists[0], list)
			}
		}
		if len(lists[0]) < 5 {
			t.Errorf("%s has nothing but %q", name, lists[0])
		}
	}
}

// common are the files that each format has, by one name.
func common(files []string) []string {
	var all []string
	for _, path := range files {
		dir := strings.HasPrefix(path, "/usr/share/doc/aggrfs") && filepath.Ext(path) == "" || path == "/etc/aggrfs" || path == "/usr/libexec/aggrfs"
		switch base := filepath.Base(path); {
		case dir, base == "copyright", base == "changelog.gz", strings.Contains(path, "/lintian/"):
		default:
			all = append(all, strings.Replace(path, "vendor-completions", "site-functions", 1))
		}
	}
	slices.Sort(all)
	return all
}
