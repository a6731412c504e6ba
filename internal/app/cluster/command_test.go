package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/internal/config"
	"github.com/aggrfs/aggrfs/internal/userdb"
	"github.com/aggrfs/aggrfs/pkg/ninep"
)

// script writes a program that is a shell's script, and returns its path.
func script(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// What is wrong with a command that should speak 9P is said plainly, and nothing of it is left.
func TestCommandsThatFail(t *testing.T) {
	c := newCommands(userdb.New(userdb.Config{}))
	for what, tc := range map[string]struct{ script, want string }{
		"a greeting":       {"echo 'Welcome to n1'; exec sleep 60", `it printed "Welcome to n1\n" before 9P`},
		"a short greeting": {"echo hi; exec sleep 60", `it printed "hi\n" before 9P`},
		"no procsrv":       {"echo 'sh: procsrv: not found' >&2; exit 127", "install procsrv on the node, or write its whole path in the address: sh: procsrv: not found"},
		"no way there":     {"echo 'connect to host n1: No route to host' >&2; exit 255", "exited 255: connect to host n1: No route to host"},
		"it hangs":         {"echo 'asks for a password' >&2; exec sleep 60", "no answer within the time to connect (timeouts: connect): asks for a password"},
		"it ends":          {"exit 0", "closed the connection at the first message"},
		"it is killed":     {"kill -9 $$", "killed by SIGKILL"},
	} {
		n := config.Node{Name: "n1", Command: []string{script(t, tc.script), "n1"}, User: "root"}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		up, err := clientDialer(func(ctx context.Context) (net.Conn, error) { return c.dial(ctx, n) }, ninep.ClientConfig{Log: slog.New(slog.DiscardHandler)})(ctx)
		cancel()
		if err == nil {
			up.Close()
		}
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v; want %q", what, err, tc.want)
		}
	}
	if _, err := c.dial(t.Context(), config.Node{Name: "n1", Command: []string{"no-such-program"}}); err == nil || !strings.Contains(err.Error(), "no such program here") {
		t.Errorf("no ssh here: %v", err)
	}
	if _, err := c.dial(t.Context(), config.Node{Name: "n1", Command: []string{"sh"}, User: "nosuchuser"}); err == nil || !strings.Contains(err.Error(), "nosuchuser") {
		t.Errorf("no such user: %v", err)
	}
	if !c.starting.TryAcquire(maxStarting) {
		t.Error("a command that has ended has its turn still")
	}
}

// No more than so many are started at once, and who does not get its turn says so.
func TestCommandsAtOnce(t *testing.T) {
	c := newCommands(userdb.New(userdb.Config{}))
	if err := c.starting.Acquire(t.Context(), maxStarting-1); err != nil {
		t.Fatal(err)
	}
	n := config.Node{Name: "n1", Command: []string{"sleep", "60"}, User: "root"}
	one, err := c.dial(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	defer one.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := c.dial(ctx, n); err == nil || !strings.Contains(err.Error(), fmt.Sprint(maxStarting, " commands")) {
		t.Errorf("one more: %v", err)
	}
	one.Close()
	two, err := c.dial(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	two.Close()
}
