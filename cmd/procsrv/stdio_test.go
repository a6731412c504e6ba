package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/aggrfs/aggrfs/internal/privs"
	"github.com/aggrfs/aggrfs/pkg/ninep"
	"github.com/aggrfs/aggrfs/pkg/procfs9p"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// inner is the variable of the environment with which this program is procsrv.
const inner = "PROCSRV_TEST"

func TestMain(m *testing.M) {
	if os.Getenv(inner) == "" {
		goleak.VerifyTestMain(m)
	}
	if err := command(os.Stderr, privs.Keep).ExecuteContext(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// A stdio is a procsrv --stdio that was started by argv, and a client of it.
type stdio struct {
	*ninep.Client
	cmd    *exec.Cmd
	stderr bytes.Buffer
}

func startStdio(t *testing.T, argv ...string) *stdio {
	t.Helper()
	near, far, err := socketPair()
	if err != nil {
		t.Fatal(err)
	}
	file, err := far.File()
	if err != nil {
		t.Fatal(err)
	}
	far.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	s := &stdio{cmd: exec.CommandContext(ctx, argv[0], argv[1:]...)}
	s.cmd.Env = append(os.Environ(), inner+"=1")
	s.cmd.Stdin, s.cmd.Stdout, s.cmd.Stderr = file, file, &s.stderr
	err = s.cmd.Start()
	file.Close()
	if err != nil {
		t.Fatal(err)
	}
	if s.Client, err = ninep.NewClient(ctx, near, ninep.ClientConfig{}); err != nil {
		near.Close()
		t.Fatal(err, s.cmd.Wait(), s.stderr.String())
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// roots is a process of root, of which others may not read everything.
var roots = strconv.Itoa(os.Getpid())

// read reads a file as who.
func (s *stdio) read(t *testing.T, who vfs.Identity, path ...string) (string, error) {
	t.Helper()
	root, err := s.Attach(t.Context(), who, "")
	if err != nil {
		return "", err
	}
	text, err := vfs.ReadFile(t.Context(), root.(vfs.Dir), 1<<20, path...)
	return string(text), err
}

// hangUp ends the connection, and with it the program, which has said nothing.
func (s *stdio) hangUp(t *testing.T) {
	t.Helper()
	s.Close()
	if err := s.cmd.Wait(); err != nil || s.stderr.Len() > 0 {
		t.Errorf("after the connection: %v: %s", err, &s.stderr)
	}
}

// What root starts reads for each user as that user.
func TestStdioOfRoot(t *testing.T) {
	s := startStdio(t, os.Args[0], "--stdio")
	want, err := os.ReadFile("/proc/self/environ")
	if got, failed := s.read(t, vfs.Root, roots, "environ"); failed != nil || err != nil || got != string(want) {
		t.Errorf("root reads %q, %v; want %q, %v", got, failed, want, err)
	}
	if _, err := s.read(t, vfs.Identity{UID: 4242, GID: 4242}, roots, "environ"); !errors.Is(err, syscall.EACCES) {
		t.Errorf("another user's read of the environment of a process of root: %v", err)
	}
	s.hangUp(t)
}

// What anybody else starts has their rights and no more, whatever its program was given, for
// themselves and for a front end that attaches as root; and is nobody else's.
func TestStdioOfUser(t *testing.T) {
	dir := t.TempDir()
	for d := dir; d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "procsrv")
	if err := os.WriteFile(program, self, 0o755); err != nil {
		t.Fatal(err)
	}
	const caps = "setuid,+setgid,+sys_ptrace,+dac_read_search"
	as := []string{"setpriv", "--reuid=4242", "--regid=4242", "--clear-groups"}
	own := exec.Command(as[0], append(as[1:], "sleep", "60")...)
	if err := own.Start(); err != nil {
		t.Fatal(err)
	}
	defer own.Wait()
	defer own.Process.Kill()
	pid := strconv.Itoa(own.Process.Pid)
	for what, more := range map[string][]string{
		"as it is":          {program},
		"with capabilities": {"--inh-caps=-all,+" + caps, "--ambient-caps=-all,+" + caps, program},
	} {
		s := startStdio(t, append(append(as[:len(as):len(as)], more...), "--stdio")...)
		me := vfs.Identity{UID: 4242, GID: 4242}
		for _, who := range []vfs.Identity{vfs.Root, me} {
			deadline := time.Now().Add(30 * time.Second)
			for { // until setpriv is sleep
				text, err := s.read(t, who, pid, "environ")
				if err == nil && text != "" {
					break
				}
				if time.Now().After(deadline) {
					t.Fatalf("%s, as %d: the environment of a process of theirs: %q, %v", what, who.UID, text, err)
				}
				time.Sleep(10 * time.Millisecond)
			}
			if _, err := s.read(t, who, roots, "environ"); !errors.Is(err, syscall.EACCES) {
				t.Errorf("%s, as %d: the environment of a process of root: %v", what, who.UID, err)
			}
		}
		for _, uid := range []uint32{1, 4243} {
			if _, err := s.read(t, vfs.Identity{UID: uid, GID: uid}, "1", "stat"); !errors.Is(err, syscall.EPERM) {
				t.Errorf("%s: attach as the user %d: %v", what, uid, err)
			}
		}
		if _, err := s.Attach(t.Context(), vfs.Root, procfs9p.SnapshotName); err != nil {
			t.Errorf("%s: no snapshots: %v", what, err)
		}
		s.hangUp(t)
	}
}

// Where nobody can be at the other end that is said, as is what the flag excludes.
func TestStdioRefusals(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), os.Args[0], "--stdio")
	cmd.Env = append(os.Environ(), inner+"=1")
	out, err := cmd.Output()
	var ended *exec.ExitError
	if !errors.As(err, &ended) || len(out) > 0 || !strings.Contains(string(ended.Stderr), "neither a pipe nor a socket") {
		t.Errorf("from /dev/null: %q, %v", out, err)
	}
	for _, args := range [][]string{{"--listen", "unix:/x"}, {"--control", "own"}, {"--front-end", "head"}} {
		if err := run(t.Context(), new(lines), append(args, "--stdio")...); err == nil || !strings.Contains(err.Error(), "stdio") {
			t.Errorf("%q: %v", args, err)
		}
	}
}
