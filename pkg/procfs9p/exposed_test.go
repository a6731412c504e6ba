package procfs9p

import (
	"context"
	"log/slog"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/pkg/ninep"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// served is the root of l's tree on the other side of a socket.
func served(t *testing.T, l *Leaf) vfs.Dir {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	addr := ninep.Addr{Network: "unix", Address: filepath.Join(t.TempDir(), "9p.sock")}
	listener, err := ninep.Listen(ctx, addr, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	server := ninep.NewServer(ninep.ServerConfig{Tree: l, Identify: ninep.ByCredentials, Log: log})
	var work sync.WaitGroup
	work.Go(func() { server.Serve(ctx, listener) })
	t.Cleanup(func() {
		cancel()
		work.Wait() // whatever is stuck
	})
	conn, err := ninep.Dial(ctx, addr)
	if err != nil {
		t.Fatal(err)
	}
	client, err := ninep.NewClient(ctx, conn, ninep.ClientConfig{Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return attach(t, client, vfs.Root, "")
}

// TestBlockedServed is a read that blocks where its request is: the request
// goes on without it, the connection was never held up, and the server ends
// although the read does not.
func TestBlockedServed(t *testing.T) {
	sick, well := strconv.Itoa(quiet(t, nil)), strconv.Itoa(quiet(t, nil))
	l := newLeaf(t, Config{ReadTimeout: 300 * time.Millisecond})
	pit := newTarpit(t, l, "/"+sick+"/cmdline")
	t.Run("served", func(t *testing.T) {
		root := served(t, l)
		var first sync.WaitGroup
		first.Go(func() {
			if _, err := read(t, root, sick, "cmdline"); vfs.Errno(err) != syscall.ETIMEDOUT {
				t.Errorf("blocked read: %v", err)
			}
			if n := l.Abandoned(); n != 1 {
				t.Errorf("%d reads abandoned", n)
			}
		})
		waitFor(t, "blocked read", func() bool {
			l.guard.mu.Lock()
			defer l.guard.mu.Unlock()
			return len(l.guard.exposed) == 1
		})
		if _, err := read(t, root, well, "cmdline"); err != nil {
			t.Errorf("another process meanwhile: %v", err)
		}
		first.Wait()
		if _, err := read(t, root, sick, "environ"); vfs.Errno(err) != syscall.ETIMEDOUT {
			t.Errorf("environ: %v", err)
		}
		for _, path := range [][2]string{{sick, "stat"}, {well, "cmdline"}} {
			if _, err := read(t, root, path[0], path[1]); err != nil {
				t.Errorf("%s afterwards: %v", path, err)
			}
		}
	})
	pit.release()
	waitFor(t, "end of the blocked read", func() bool { return l.Abandoned() == 0 })
	if _, err := read(t, attach(t, l, vfs.Root, ""), sick, "cmdline"); err != nil {
		t.Errorf("after the end: %v", err)
	}
}

// TestBlockedServedCancelled: a flushed read is left behind and counted, too.
func TestBlockedServedCancelled(t *testing.T) {
	sick := strconv.Itoa(quiet(t, nil))
	l := newLeaf(t, Config{ReadTimeout: time.Hour})
	pit := newTarpit(t, l, "/"+sick+"/environ")
	root := served(t, l)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := vfs.ReadFile(ctx, root, 1<<20, sick, "environ"); vfs.Errno(err) != syscall.ETIMEDOUT {
		t.Errorf("%v", err)
	}
	waitFor(t, "flush", func() bool { return l.Abandoned() == 1 })
	if _, err := read(t, root, sick, "cmdline"); vfs.Errno(err) != syscall.ETIMEDOUT {
		t.Errorf("another file of it: %v", err)
	}
	pit.release()
	waitFor(t, "end of the blocked read", func() bool { return l.Abandoned() == 0 })
}
