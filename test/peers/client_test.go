package main

import (
	"bytes"
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	p9p "github.com/docker/go-p9p"
	"github.com/docker/go-p9p/ufs"
	"github.com/hugelgupf/p9/fsimpl/localfs"
	"github.com/hugelgupf/p9/p9"

	"github.com/aggrfs/aggrfs/pkg/ninep"
	"github.com/aggrfs/aggrfs/pkg/vfs"
	"github.com/aggrfs/aggrfs/test/peers/stage"
	"github.com/aggrfs/aggrfs/test/wait"
)

// exported makes a directory that servers export: the stage, a file below two
// directories, and an empty one.
func exported(t *testing.T) string {
	t.Helper()
	root, err := stageFiles(t.TempDir())
	if err == nil {
		err = os.MkdirAll(filepath.Join(root, "one", "two"), 0o755)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(root, "one", "two", "three"), []byte("deep\n"), 0o640)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(root, "empty"), nil, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// acceptAll serves connections until the test ends.
func acceptAll(t *testing.T, serve func(net.Conn)) (socket string) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "socket")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go serve(conn)
		}
	}()
	return socket
}

// listens waits until a server takes connections on a unix socket.
func listens(t *testing.T, socket string) {
	t.Helper()
	wait.For(t, "the server listens", func() error {
		conn, err := net.Dial("unix", socket)
		if err == nil {
			conn.Close()
		}
		return err
	})
}

func TestClientDiod(t *testing.T) {
	root := exported(t)
	socket := filepath.Join(t.TempDir(), "diod")
	cmd := exec.Command("diod", "-f", "-n", "-c", "/dev/null", "-L", "/dev/null", "-e", root, "-l", socket)
	if err := cmd.Start(); err != nil {
		t.Fatalf("%v (it is in the Debian package diod)", err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
	})
	listens(t, socket)
	tryClient(t, socket, ninep.ClientConfig{Foreign: true, Msize: 64 << 10}, root, root)
}

func TestClientHugelgupf(t *testing.T) {
	root := exported(t)
	server := p9.NewServer(localfs.Attacher(root))
	socket := acceptAll(t, func(conn net.Conn) { server.Handle(conn, conn) })
	tryClient(t, socket, ninep.ClientConfig{Foreign: true, Msize: 1 << 20}, "", root)
}

func TestClientGoP9P(t *testing.T) {
	root := exported(t)
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	socket := acceptAll(t, func(conn net.Conn) {
		session, err := ufs.NewSession(ctx, root)
		if err == nil {
			p9p.ServeConn(ctx, conn, p9p.Dispatch(session))
		}
	})
	tryClient(t, socket, ninep.ClientConfig{Foreign: true, Dialect: "9P2000", Msize: 64 << 10}, "", root)
}

// tryClient compares what the project's client sees with the directory.
func tryClient(t *testing.T, socket string, cfg ninep.ClientConfig, aname, root string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	cfg.Log = quiet
	client, err := ninep.NewClient(ctx, dial(t, socket), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	n, err := client.Attach(ctx, vfs.Root, aname)
	if err != nil {
		t.Fatal(err)
	}
	top := n.(vfs.Dir)
	for _, path := range []string{stage.Status, stage.Bulk, "empty", "one/two/three"} {
		want, err := os.ReadFile(filepath.Join(root, path))
		if err != nil {
			t.Fatal(err)
		}
		n, _, err := vfs.WalkPath(ctx, top, strings.Split(path, "/")...)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		if a, err := n.Attr(ctx); err != nil || a.Size != uint64(len(want)) || a.Type() != vfs.TypeFile {
			t.Errorf("%s: %+v, %v", path, a, err)
		}
		h, err := n.(vfs.File).Open(ctx)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		got, err := vfs.ReadAll(ctx, h, len(want)+1)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes, not %d: %v", path, len(got), len(want), err)
		}
		h.Close()
	}
	for _, path := range []string{"", stage.Many} {
		var dir vfs.Node = top
		if path != "" {
			if dir, err = top.Walk(ctx, path); err != nil {
				t.Fatal(err)
			}
		}
		h, err := dir.(vfs.Dir).List(ctx)
		if err != nil {
			t.Fatal(err)
		}
		var got, want []string
		for offset := uint64(0); ; {
			entries, err := h.ReadDir(ctx, offset, nil, 100)
			if err != nil {
				t.Fatal(err)
			}
			if len(entries) == 0 {
				break
			}
			for _, e := range entries {
				got = append(got, e.Name)
			}
			offset = entries[len(entries)-1].Next
		}
		h.Close()
		all, err := os.ReadDir(filepath.Join(root, path))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range all {
			want = append(want, e.Name())
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%q: %d names, not %d", path, len(got), len(want))
		}
	}
	if _, err := top.Walk(ctx, "no-such-name"); vfs.Errno(err) != syscall.ENOENT {
		t.Errorf("a name that does not exist: %v", err)
	}
	short, end := context.WithCancel(ctx)
	end()
	if _, err := top.Walk(short, stage.Status); err == nil {
		t.Error("a walk whose context has ended")
	}
}
