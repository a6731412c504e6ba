package nsexec_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/internal/nsexec"
	"github.com/aggrfs/aggrfs/test/wait"
)

// asideIn names a directory that does not exist yet and checks at the end that
// it does not exist any more.
func asideIn(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "aside")
	t.Cleanup(func() {
		wait.Until(t, dir+" is removed", func() bool { return !exists(dir) })
	})
	return dir
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func TestExitStatus(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	bare := write("bare", "echo bare $1\n", 0o755)
	noExec := write("noexec", "#!/bin/sh\n", 0o644)
	orphan := write("orphan", "#!/no/such/interpreter\n", 0o755)
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	for _, test := range []struct {
		name string
		argv []string
		code int
		out  string // is part of the output
	}{
		{"success", []string{"true"}, 0, ""},
		{"failure", []string{"sh", "-c", "exit 7"}, 7, ""},
		{"reads the tree", []string{"cat", "/proc/tree"}, 0, treeText},
		{"ended by a signal", []string{"sh", "-c", "kill -TERM $$"}, 143, ""},
		{"killed", []string{"sh", "-c", "kill -KILL $$"}, 137, ""},
		{"not in PATH", []string{"no-such-command"}, 127, "aggrfs exec: no-such-command: command not found"},
		{"no such path", []string{"/no/such/command"}, 127, "aggrfs exec: /no/such/command: no such file or directory"},
		{"empty name", []string{""}, 127, "command not found"},
		{"not executable", []string{noExec}, 126, "permission denied"},
		{"not executable in PATH", []string{"noexec"}, 126, "permission denied"},
		{"a directory", []string{dir}, 126, "permission denied"},
		{"no interpreter", []string{orphan}, 126, "the interpreter it names does not exist"},
		{"a script without #!", []string{bare, "x"}, 0, "bare x"},
		{"the same in PATH", []string{"bare", "y"}, 0, "bare y"},
	} {
		t.Run(test.name, func(t *testing.T) {
			code, out := run(t, asideIn(t), test.argv...)
			if code != test.code || !strings.Contains(out, test.out) {
				t.Errorf("exit status %d, want %d; output %q, want %q in it", code, test.code, out, test.out)
			}
		})
	}
}

// What keeps the command from being run is an error, and leaves nothing.
func TestFailures(t *testing.T) {
	dev, err := openDevice()
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	refused := errors.New("refused")
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	for _, test := range []struct {
		name   string
		ctx    context.Context
		change func(*nsexec.Spec)
		want   string
	}{
		{"mount", context.Background(), func(s *nsexec.Spec) {
			s.Mount = func(int) nsexec.Mount { return nsexec.Mount{FSType: "nosuchfs"} }
		}, "mount nosuchfs on /proc"},
		{"aside is relative", context.Background(), func(s *nsexec.Spec) { s.Aside = "here" }, "not an absolute path"},
		{"aside is a file", context.Background(), func(s *nsexec.Spec) { s.Aside = "/etc/passwd" }, "make a place for the native procfs"},
		{"directory", context.Background(), func(s *nsexec.Spec) { s.Dir = "/no/such" }, `"/no/such"`},
		{"serve", context.Background(), func(s *nsexec.Spec) { s.Serve = func() error { return refused } }, "refused"},
		{"nothing to run", context.Background(), func(s *nsexec.Spec) { s.Argv = nil }, "Argv"},
		{"context", ended, func(*nsexec.Spec) {}, "context canceled"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := spec(dev, asideIn(t), "touch", filepath.Join(t.TempDir(), "ran"))
			s.Serve = func() error { return nil }
			test.change(&s)
			code, err := nsexec.Run(test.ctx, s)
			if code != nsexec.CodeFailed || err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %d, %v; want %q in it", code, err, test.want)
			}
		})
	}
}

func TestContextEndsCommand(t *testing.T) {
	dev, err := openDevice()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := spec(dev, asideIn(t), "sleep", "1000")
	var served sync.WaitGroup
	s.Serve = func() error {
		served.Go(func() { serveTree(int(dev.Fd()), s.Aside) })
		cancel()
		return nil
	}
	begin := time.Now()
	code, err := nsexec.Run(ctx, s)
	if code != 143 && !errors.Is(err, context.Canceled) {
		t.Errorf("got %d, %v", code, err)
	}
	if took := time.Since(begin); took > 8*time.Second {
		t.Errorf("took %v", took)
	}
	served.Wait() // the file system has gone, so the device has nothing to say any more
	dev.Close()
}

func TestInheritance(t *testing.T) {
	aside := asideIn(t)
	t.Chdir("/proc")
	// The shell opens 3 and 63 before it starts the server, as "<(...)" does.
	script := `exec 3<<<three 63<<<sixtythree; exec "$@"`
	inner := `cat <&3; cat /dev/fd/63; pwd; cat tree; ls -l ` + aside + `/$$/fd`
	cmd, out := startShell(t, aside, script, "bash", "-c", inner)
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	for _, want := range []string{"three\n", "sixtythree\n", "/proc\n", treeText} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in %s", want, out)
		}
	}
	for _, not := range []string{"fuse", "socket", "anon_inode"} {
		if strings.Contains(out.String(), not) {
			t.Errorf("the command got a descriptor of the server's:\n%s", out)
		}
	}
}

// treeLine is the line of the test's tree in a mountinfo file.
var treeLine = regexp.MustCompile(`(?m)^.* /proc .* - fuse\.aggrfs test .*$`)

// A command that runs another has the inner tree only, and the native procfs
// where it was.
func TestNested(t *testing.T) {
	aside := asideIn(t)
	// The server is the shell's parent; it runs itself again.
	script := `exec ` + aside + `/$PPID/exe sh -c "cat /proc/tree && cat ` + aside + `/self/mountinfo"`
	code, out := run(t, aside, "sh", "-c", script)
	if code != 0 || !strings.Contains(out, treeText) || len(treeLine.FindAllString(out, -1)) != 1 {
		t.Errorf("status %d: %s", code, out)
	}
}
