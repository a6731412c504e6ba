package main

import (
	"bytes"
	"context"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/internal/privs"
	"github.com/aggrfs/aggrfs/pkg/ninep"
	"github.com/aggrfs/aggrfs/pkg/procfs9p"
	"github.com/aggrfs/aggrfs/pkg/snapshot"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// lines collects the log.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func run(ctx context.Context, log *lines, args ...string) error {
	c := command(log, func(*slog.Logger, []privs.Want) error { return nil })
	c.SetArgs(args)
	c.SetOut(log)
	return c.ExecuteContext(ctx)
}

func TestRefusals(t *testing.T) {
	dir := t.TempDir()
	sock := "unix:" + filepath.Join(dir, "s")
	for _, c := range []struct {
		args []string
		want string // in the error
	}{
		{[]string{"--proc", dir, "--listen", sock}, "is not a procfs"},
		{[]string{"--proc", dir + "/none", "--listen", sock}, "no such file"},
		{[]string{"--listen", "tcp:127.0.0.1:0"}, "--insecure"},
		{[]string{"--listen", sock, "--listen", "tcp:127.0.0.1:0"}, "--insecure"},
		{[]string{"--listen", "/run/x"}, "unix:PATH"},
		{[]string{"--listen", "udp:1.2.3.4:5"}, "unix:PATH"},
		{[]string{"--log-level", "loud"}, "loud"},
		{[]string{"extra"}, "extra"},
	} {
		err := run(t.Context(), new(lines), c.args...)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %q in it", c.args, err, c.want)
		}
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestVersion(t *testing.T) {
	var out lines
	if err := run(t.Context(), &out, "--version"); err != nil || !strings.HasPrefix(out.String(), "procsrv version ") {
		t.Errorf("%q, %v", out.String(), err)
	}
}

// TestThroughTheSocket reads a file and takes a snapshot as aggrfs does.
func TestThroughTheSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	ctx, cancel := context.WithCancel(t.Context())
	var log lines
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, &log, "--listen", "unix:"+path) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	waitForLog(t, &log, "serving", 1)
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	client, err := ninep.NewClient(ctx, conn, ninep.ClientConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()

	self := strconv.Itoa(os.Getpid())
	root, err := client.Attach(ctx, vfs.Root, "")
	if err != nil {
		t.Fatal(err)
	}
	_, ids, err := vfs.WalkPath(ctx, root.(vfs.Dir), self)
	if err != nil {
		t.Fatal(err)
	}
	got, err := vfs.ReadFile(ctx, root.(vfs.Dir), 1<<20, self, "cmdline")
	want, _ := os.ReadFile("/proc/self/cmdline")
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%q, %v; want %q", got, err, want)
	}

	snap, err := client.Attach(ctx, vfs.Root, procfs9p.SnapshotName)
	if err != nil {
		t.Fatal(err)
	}
	file, err := snap.(vfs.Dir).Walk(ctx, snapshot.SweepFile)
	if err != nil {
		t.Fatal(err)
	}
	h, err := file.(interface {
		OpenRW(context.Context) (vfs.Handle, error)
	}).OpenRW(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	table, err := snapshot.Fetch(ctx, h.(snapshot.RPC), snapshot.Request{Files: []string{"stat", "cmdline"}}, nil, snapshot.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	i, ok := table.Find(int32(os.Getpid()))
	if !ok {
		t.Fatal("the test is not in the snapshot")
	}
	if content, errno := table.File(i, 1); errno != 0 || !bytes.Equal(content, want) {
		t.Errorf("%q, %v", content, errno)
	}
	if table.Proc(i).ID != ids[0] {
		t.Errorf("id %x in the snapshot, %x in the tree", table.Proc(i).ID, ids[0])
	}
}

func waitForLog(t *testing.T, log *lines, what string, n int) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); strings.Count(log.String(), what) < n; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("no %q in the log: %s", what, log.String())
		}
	}
}

// TestServeAndStop listens on several addresses, and removes what it made.
func TestServeAndStop(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "sub", "b")
	ctx, cancel := context.WithCancel(t.Context())
	var log lines
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, &log, "--insecure", "--listen", "unix:"+a, "--listen", "unix:"+b, "--listen", "tcp:127.0.0.1:0")
	}()
	waitForLog(t, &log, "serving", 3)
	for _, path := range []string{a, b} {
		info, err := os.Stat(path)
		if err != nil || info.Mode().Type() != fs.ModeSocket || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", path, info, err)
		}
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		defer conn.Close()
	}
	if !strings.Contains(log.String(), "level=WARN msg=insecure") && !strings.Contains(log.String(), `level=WARN msg="insecure`) {
		t.Errorf("no warning: %s", log.String())
	}
	cancel()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("ended with %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("does not end")
	}
	for _, path := range []string{a, b} {
		if _, err := os.Lstat(path); err == nil {
			t.Errorf("%s is left behind", path)
		}
	}
}
