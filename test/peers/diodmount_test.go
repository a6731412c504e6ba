package main

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/aggrfs/aggrfs/internal/munge"
	"github.com/aggrfs/aggrfs/internal/munge/mungetest"
	"github.com/aggrfs/aggrfs/pkg/ninep"
	"github.com/aggrfs/aggrfs/pkg/vfs"
	"github.com/aggrfs/aggrfs/test/peers/stage"
)

// diodmount authenticates by MUNGE, and leaves a connection on which who goes on needs
// no credential, as the kernel does that it would give it to.
func TestServerDiodmount(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	socket := mungetest.Start(t)
	usual := t.TempDir() // with the name that MUNGE's library looks for
	if err := os.Symlink(socket, filepath.Join(usual, "munge.socket.2")); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	trust := ninep.Trust{Munge: munge.Decoder{Socket: socket}.Decode}
	served := make(chan error, 1)
	serving, stop := context.WithCancel(ctx)
	go func() {
		served <- ninep.NewServer(ninep.ServerConfig{Tree: stage.New(), Identify: trust.Identify, Auth: true, Log: quiet}).Serve(serving, l)
	}()
	defer func() {
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	}()
	dial := func() *net.TCPConn {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn.(*net.TCPConn)
	}
	attach := func(conn net.Conn, who vfs.Identity) error {
		client, err := ninep.NewClient(ctx, conn, ninep.ClientConfig{Foreign: true, Log: quiet})
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		_, err = client.Attach(ctx, who, "")
		return err
	}
	if err := attach(dial(), vfs.Root); vfs.Errno(err) != syscall.EACCES {
		t.Errorf("without a credential: %v", err)
	}
	for _, user := range []struct {
		name  string
		uid   uint32
		other syscall.Errno // for another user, later
	}{{"root", 0, 0}, {"daemon", 1, syscall.EPERM}} {
		for _, later := range []uint32{user.uid, 2} {
			conn := dial()
			file, err := conn.File()
			if err != nil {
				t.Fatal(err)
			}
			// In a place of its own, where the library finds the daemon of the test; -f is all
			// but the mount.
			cmd := exec.CommandContext(ctx, "unshare", "--mount", "sh", "-ec",
				`mkdir -p /run/munge; mount --bind "$1" /run/munge; exec diodmount -f -n -o rfdno=3,wfdno=3,uname="$2" here:/ "$3"`,
				"sh", usual, user.name, t.TempDir())
			cmd.ExtraFiles = []*os.File{file}
			var out bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &out
			err = cmd.Run()
			file.Close()
			// What is given to a program is made blocking, for all who hold it: reads would not end
			// with their deadlines, nor with the connection.
			if raw, rawErr := conn.SyscallConn(); rawErr != nil {
				t.Fatal(rawErr)
			} else if rawErr := raw.Control(func(fd uintptr) { err = errors.Join(err, syscall.SetNonblock(int(fd), true)) }); rawErr != nil {
				t.Fatal(rawErr)
			}
			if err != nil {
				t.Fatalf("%v: %s", err, &out)
			}
			want := user.other
			if later == user.uid {
				want = 0
			}
			if err := attach(conn, vfs.Identity{UID: later}); vfs.Errno(err) != want {
				t.Errorf("after diodmount by %s, %d attaches: %v, want %v", user.name, later, err, want)
			}
		}
	}
}
