package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/aggrfs/aggrfs/test/cluster"
)

// Programs that exec runs find what they need of the native /proc.
func TestPrograms(t *testing.T) {
	s := newSite(t, cluster.Options{Nodes: 1}, "")
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	goFile := write("main.go", "package main\n\nimport (\"fmt\"; \"os\")\n\nfunc main() { p, err := os.Executable(); fmt.Println(p == os.Args[0], err) }\n")
	build := func(arch string) string {
		program := filepath.Join(dir, arch)
		cmd := exec.Command("go", "build", "-o", program, goFile)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOARCH="+arch)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return program
	}
	goProgram, program32 := build(runtime.GOARCH), build("386")
	if runtime.GOARCH != "amd64" {
		program32 = goProgram // this machine's kernel runs no other
	}
	python := write("a.py", "import os,sys\nprint(os.readlink('/proc/self/exe') != '', open('/proc/self/comm').read().strip() != '', len(os.listdir('/proc/self/fd')) > 2)\n")
	java := write("A.java", "public class A { public static void main(String[] a) throws Exception { System.out.println(ProcessHandle.current().pid() > 0 && new java.io.File(\"/proc/self/exe\").getCanonicalPath().contains(\"java\")); } }\n")
	repo := filepath.Join(dir, "repo")
	for _, tc := range []struct {
		name, script, want string
	}{
		{"process substitution", "cat <(echo one) <(echo two)", "one\ntwo\n"},
		{"/dev/stdin", "echo in | cat /dev/stdin; echo out >/dev/stdout; : 3</dev/null; ls /dev/fd >/dev/null", "in\nout\n"},
		{"df", "df / >/dev/null && df /proc >/dev/null && echo df", "df\n"},
		{"mount", "mount | grep -c ' /proc '; findmnt -n -o FSTYPE / >/dev/null && echo findmnt", fmt.Sprintf("%d\nfindmnt\n", procMounts(t)+1)},
		{"git", "git init -q " + repo + " && git -C " + repo + " status --short && echo git", "git\n"},
		{"Go", goProgram, "true <nil>\n"},
		{"a 32-bit program", program32, "true <nil>\n"},
		{"Python", "python3 " + python, "True True True\n"},
		{"Java", "java " + java, "true\n"},
		{"lsof", "timeout 60 lsof -p $$ 2>/dev/null | grep -q cwd && echo lsof", "lsof\n"},
		{"self", "test $(readlink /proc/self) -gt 1; cat /proc/$$/comm; test -r /proc/$$/status && echo self", "bash\nself\n"},
		{"a file kept open", `python3 -c 'import time
f = open("/proc/stat"); a = f.read(); time.sleep(0.5); f.seek(0); print(f.read() != a)'`, "True\n"},
		{"sys", "cat /proc/sys/kernel/ostype /proc/sys/kernel/pid_max; cat /proc/sys/kernel/hostname >/dev/null && echo sys", "Linux\n20000000\nsys\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s.t = t
			if got := s.onAll("bash", "-c", tc.script); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
	// On a tree without the head node a program still finds itself.
	t.Run("own process", func(t *testing.T) {
		s.t = t
		if got := s.onTree("python3", "-c", "import os; print('Pid:\\t%d' % os.getpid() in open('/proc/%d/status' % os.getpid()).read())"); got != "True\n" {
			t.Errorf("got %q", got)
		}
	})
}

// exec's exit status is the command's.
func TestExitStatus(t *testing.T) {
	s := newSite(t, cluster.Options{Nodes: 1}, "")
	for script, want := range map[string]int{"exit 0": 0, "exit 42": 42, "kill -TERM $$": 128 + 15} {
		cmd := exec.Command(filepath.Join(bin, "aggrfs"), "exec", "--server", s.server, "--", "sh", "-c", script)
		cmd.Run()
		if got := cmd.ProcessState.ExitCode(); got != want {
			t.Errorf("%s: exit status %d, want %d", script, got, want)
		}
	}
	cmd := exec.Command(filepath.Join(bin, "aggrfs"), "exec", "--server", s.server, "--", "no-such-command")
	out, _ := cmd.CombinedOutput()
	if cmd.ProcessState.ExitCode() != 127 || !strings.Contains(string(out), "no-such-command") {
		t.Errorf("a command that does not exist: %d, %q", cmd.ProcessState.ExitCode(), out)
	}
}

// procMounts is how many file systems this machine has mounted on /proc, each on the one
// before.
func procMounts(t *testing.T) int {
	t.Helper()
	table, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(table), " /proc ")
}
