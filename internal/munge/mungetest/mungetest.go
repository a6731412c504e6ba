// Package mungetest runs a munged(8) of its own for a test.
package mungetest

import (
	"bytes"
	"crypto/rand"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// startTime bounds the wait for the daemon.
const startTime = 20 * time.Second

// Start starts a daemon with a key of its own and returns its socket. It ends with the
// test.
func Start(t testing.TB) (socket string) {
	t.Helper()
	// Below a directory that nobody else can write to, or the daemon refuses; a
	// test's own is below one that everybody can.
	dir, err := os.MkdirTemp("/var/tmp", "aggrfs-munge-")
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	key := make([]byte, 128)
	rand.Read(key)
	at := func(name string) string { return filepath.Join(dir, name) }
	if err := os.WriteFile(at("key"), key, 0o600); err != nil {
		t.Fatal(err)
	}
	socket = at("socket")
	cmd := exec.Command("munged", "--foreground", "--force", "--socket="+socket, "--key-file="+at("key"),
		"--log-file="+at("log"), "--pid-file="+at("pid"), "--seed-file="+at("seed"))
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatalf("%v (it is in the Debian package munge)", err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		cmd.Wait()
	}()
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		<-done
	})
	for end := time.Now().Add(startTime); ; time.Sleep(10 * time.Millisecond) {
		if exec.Command("munge", "--socket="+socket, "--no-input", "--output=/dev/null").Run() == nil {
			return socket
		}
		select {
		case <-done:
			t.Fatalf("munged has ended: %s", &out)
		default:
		}
		if time.Now().After(end) {
			t.Fatalf("munged does not answer: %s", &out)
		}
	}
}

// Credential is one that a process of that user and group makes, with more arguments of
// munge(1).
func Credential(t testing.TB, socket string, uid, gid uint32, args ...string) []byte {
	t.Helper()
	cmd := exec.Command("munge", append([]string{"--socket=" + socket, "--no-input"}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: gid}}
	cmd.Dir = "/"
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("munge: %v", err)
	}
	return bytes.TrimSpace(out)
}
