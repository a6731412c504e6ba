package ninep

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

func TestParseAddr(t *testing.T) {
	for s, want := range map[string]string{
		"unix:/run/a.sock":                 "",
		"unix:relative":                    "",
		"tcp:host:5640":                    "",
		"tcp::5640":                        "",
		"tcp:[::1]:5640":                   "",
		"tls:host:5640":                    "",
		"tls:[::1]:5640":                   "",
		"tls:host":                         "missing port",
		"":                                 "no network",
		"/run/a.sock":                      "no network",
		"unix:":                            "no path",
		"unix:@abstract":                   "abstract",
		"unix:" + strings.Repeat("x", 108): "at most 107",
		"tcp:host":                         "missing port",
		"tcp:host:":                        "no TCP port",
		"tcp:host:70000":                   "no TCP port",
		"tcp:::1:5640":                     "brackets",
		"udp:host:1":                       "unknown network",
		"unix:" + strings.Repeat("x", 107): "",
		"unix:/a\x00b":                     "NUL",
	} {
		a, err := ParseAddr(s)
		switch {
		case want == "" && (err != nil || a.String() != s):
			t.Errorf("ParseAddr(%q) = %v, %v", s, a, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("ParseAddr(%q): %v, want %q", s, err, want)
		}
	}
}

func TestListenUnix(t *testing.T) {
	ctx := context.Background()
	dir := filepath.Join(t.TempDir(), "new", "dir")
	a := Addr{"unix", filepath.Join(dir, "s")}
	for _, mode := range []os.FileMode{0o600, 0o666, 0o660} {
		l, err := Listen(ctx, a, mode)
		if err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(a.Address); err != nil || info.Mode() != os.ModeSocket|mode {
			t.Errorf("the socket: %v, %v; want %v", info.Mode(), err, mode)
		}
		if _, err := Listen(ctx, a, mode); err == nil || !strings.Contains(err.Error(), "a server answers") {
			t.Errorf("a second server: %v", err)
		}
		l.Close()
		if _, err := os.Lstat(a.Address); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("after Close: %v", err)
		}
	}
	if info, _ := os.Stat(dir); info.Mode().Perm() != 0o755 {
		t.Errorf("the directory: %v", info.Mode())
	}
	leave(t, a.Address)
	l, err := Listen(ctx, a, 0o600)
	if err != nil {
		t.Fatalf("over a stale socket: %v", err)
	}
	// What took the place of our socket is not ours to remove.
	os.Remove(a.Address)
	os.WriteFile(a.Address, nil, 0o600)
	l.Close()
	if _, err := os.Lstat(a.Address); err != nil {
		t.Errorf("another's file: %v", err)
	}
	if _, err := Listen(ctx, a, 0o600); err == nil || !strings.Contains(err.Error(), "no socket") {
		t.Errorf("over a file: %v", err)
	}
	if _, err := Dial(ctx, Addr{"unix", "/no/such"}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Dial: %v", err)
	}
}

// leave makes a socket that nobody answers on.
func leave(t *testing.T, path string) {
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
}

// TestListenRace starts many servers at once over a stale socket: one wins.
func TestListenRace(t *testing.T) {
	a := Addr{"unix", filepath.Join(t.TempDir(), "s")}
	for range 20 {
		leave(t, a.Address)
		won := make(chan net.Listener, 8)
		var starts sync.WaitGroup
		for range cap(won) {
			starts.Go(func() {
				if l, err := Listen(context.Background(), a, 0o600); err == nil {
					won <- l
				}
			})
		}
		starts.Wait()
		if len(won) != 1 {
			t.Fatalf("%d servers", len(won))
		}
		(<-won).Close()
	}
}

func TestListenTCP(t *testing.T) {
	l, err := Listen(context.Background(), Addr{"tcp", "127.0.0.1:0"}, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	near, err := Dial(context.Background(), Addr{"tcp", l.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	defer near.Close()
	far, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	if p, err := PeerOf(far); err != nil || p.HasCred || p.Network != "tcp" || p.Addr != near.LocalAddr().String() {
		t.Errorf("PeerOf: %+v, %v", p, err)
	}
}

func TestPeerCredentials(t *testing.T) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fds[1])
	f := os.NewFile(uintptr(fds[0]), "socket")
	defer f.Close()
	conn, err := net.FileConn(f)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	p, err := PeerOf(conn)
	if err != nil {
		t.Fatal(err)
	}
	groups, _ := os.Getgroups()
	var want []uint32
	for _, g := range groups {
		want = append(want, uint32(g))
	}
	slices.Sort(want)
	if !p.HasCred || int(p.UID) != os.Getuid() || int(p.GID) != os.Getgid() || int(p.PID) != os.Getpid() ||
		!slices.Equal(p.Groups, slices.Compact(want)) {
		t.Errorf("PeerOf: %+v", p)
	}
}
