//go:build packages

package packages

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const source = "../.."

// The packages that the tests are about, made by TestMain.
var (
	fresh string // those of the source at hand
	again string // the same, made of a copy of it
	older string // those of the commit before, for this machine's architecture
)

func TestMain(m *testing.M) { os.Exit(runTests(m)) }

func runTests(m *testing.M) int {
	dir, err := os.MkdirTemp("", "aggrfs-packages-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if err := makeAll(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

func makeAll(dir string) error {
	fresh, again, older = filepath.Join(dir, "fresh"), filepath.Join(dir, "again"), filepath.Join(dir, "older")
	version, date, err := commit("HEAD")
	if err != nil {
		return err
	}
	if err := release(source, fresh, version, date, ""); err != nil {
		return err
	}
	// As make release makes them, but for git, which tells it the version and the date.
	copied := filepath.Join(dir, "copy", "elsewhere")
	if err := shell(source, `mkdir -p "$1" && git -c safe.directory='*' ls-files -z --cached --others --exclude-standard | tar --null --ignore-failed-read --files-from=- --create | tar --extract --directory "$1"`, copied); err != nil {
		return err
	}
	if err := release(copied, again, version, date, ""); err != nil {
		return err
	}
	before := filepath.Join(dir, "before")
	if err := shell(source, `mkdir "$1" && git -c safe.directory='*' archive HEAD~1 | tar --extract --directory "$1"`, before); err != nil {
		return fmt.Errorf("the commit before, which is to be upgraded from: %w (in a clone that is not whole: git fetch --deepen 1)", err)
	}
	if version, date, err = commit("HEAD~1"); err != nil {
		return err
	}
	return release(before, older, version, date, "amd64")
}

// commit is what make release says of a commit: its version, and its time in seconds.
func commit(name string) (version, date string, err error) {
	git := func(args ...string) string {
		cmd := exec.Command("git", append([]string{"-c", "safe.directory=*"}, args...)...)
		cmd.Dir = source
		out, failed := cmd.Output()
		if failed != nil && err == nil {
			err = fmt.Errorf("%v: %w", cmd, failed)
		}
		return strings.TrimSpace(string(out))
	}
	return git("describe", "--tags", "--always", name), git("log", "-1", "--format=%ct", name), err
}

// release makes the packages of a source; for all architectures if none is named.
func release(source, dist, version, date, arch string) error {
	script := `make --no-print-directory release DIST="$1" VERSION="$2" SOURCE_DATE_EPOCH="$3"`
	if arch != "" {
		script += " ARCHES=" + arch
	}
	return shell(source, script, dist, version, date)
}

// shell runs a script in a directory.
func shell(dir, script string, args ...string) error {
	cmd := exec.Command("bash", append([]string{"-e", "-o", "pipefail", "-c", script, "bash"}, args...)...)
	cmd.Dir = dir
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "MAKE") && !strings.HasPrefix(v, "MFLAGS") { // those of a make that runs the tests
			cmd.Env = append(cmd.Env, v)
		}
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", script, err, out)
	}
	return nil
}

// one is the only file of a directory that a pattern matches.
func one(t *testing.T, dir, pattern string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(files) != 1 {
		t.Fatalf("%s in %s: %q, %v", pattern, dir, files, err)
	}
	return files[0]
}
