package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"9fans.net/go/plan9"
	plan9client "9fans.net/go/plan9/client"
	p9p "github.com/docker/go-p9p"
	"github.com/hugelgupf/p9/p9"

	"github.com/aggrfs/aggrfs/pkg/ninep"
	"github.com/aggrfs/aggrfs/pkg/procfs9p"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// deadline bounds what a test does with a peer.
const deadline = time.Minute

// serveProc serves this machine's /proc on a socket, and returns its path.
func serveProc(t *testing.T) (socket string) {
	t.Helper()
	leaf, err := procfs9p.New(procfs9p.Config{Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	socket = filepath.Join(t.TempDir(), "socket")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	root := func(ninep.Peer, ninep.Claim) (vfs.Identity, error) { return vfs.Root, nil }
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- ninep.NewServer(ninep.ServerConfig{Tree: leaf, Identify: root, Log: quiet}).Serve(ctx, l)
	}()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-done, leaf.Close()); err != nil {
			t.Error(err)
		}
	})
	return socket
}

// dial connects to a socket, with a deadline for all that follows.
func dial(t *testing.T, socket string) net.Conn {
	t.Helper()
	conn, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(deadline)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// resting are files whose content does not change, by their path below /proc: of
// one byte, of more than a message of 4 KiB has, and of none.
func resting(t *testing.T) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	for _, path := range []string{"version", "filesystems", "self/cmdline", "self/environ", "sys/kernel/osrelease", "crypto"} {
		content, err := os.ReadFile("/proc/" + path)
		if err != nil {
			t.Fatal(err)
		}
		files[strings.Replace(path, "self", ownPID(), 1)] = content
	}
	return files
}

func ownPID() string { return filepath.Base(must(os.Readlink("/proc/self"))) }

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// rootNames are those of /proc that are no processes, and no links to the reader.
func rootNames(t *testing.T, all []string) []string {
	t.Helper()
	all = slices.DeleteFunc(slices.Clone(all), func(name string) bool {
		// What a leaf never shows, and what is the reader's.
		never := []string{"kcore", "kmsg", "kpagecount", "kpageflags", "kpagecgroup", "sysrq-trigger", "vmcore", "bus", "acpi", "fs", "."}
		return name[0] >= '0' && name[0] <= '9' || slices.Contains(never, name)
	})
	slices.Sort(all)
	return all
}

func native(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return rootNames(t, names)
}

// same compares a root listing.
func same(t *testing.T, got []string) {
	t.Helper()
	if got, want := rootNames(t, got), native(t); !slices.Equal(got, want) {
		t.Errorf("listed %v, not %v", got, want)
	}
}

// diod's own tools, which speak 9P2000.L.
func TestServerDiodTools(t *testing.T) {
	socket := serveProc(t)
	run := func(argv ...string) []byte {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), deadline)
		defer cancel()
		cmd := exec.CommandContext(ctx, argv[0], append([]string{"-s", socket, "-a", "/"}, argv[1:]...)...)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Errorf("%v: %v: %s (diodls and diodcat are in the Debian package diod)", cmd.Args, err, &stderr)
		}
		return out
	}
	same(t, strings.Fields(string(run("diodls"))))
	long := string(run("diodls", "-l", "-m", "4096"))
	if strings.Count(long, "\n") < len(native(t)) {
		t.Errorf("diodls -l: %s", long)
	}
	for path, want := range resting(t) {
		if got := run("diodcat", "-m", "4096", path); !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes, not %d, or others", path, len(got), len(want))
		}
	}
}

func TestServerHugelgupf(t *testing.T) {
	socket := serveProc(t)
	client, err := p9.NewClient(dial(t, socket), p9.WithMessageSize(8192))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	root, err := client.Attach("")
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range resting(t) {
		_, f, err := root.Walk(strings.Split(path, "/"))
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if _, _, err := f.Open(p9.ReadOnly); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		got := make([]byte, len(want)+1000)
		n, err := f.ReadAt(got, 0)
		if err != nil && err != io.EOF || !bytes.Equal(got[:n], want) {
			t.Errorf("%s: %d bytes, not %d, or others: %v", path, n, len(want), err)
		}
		f.Close()
	}
	_, dir, err := root.Walk(nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := dir.Open(p9.ReadOnly); err != nil {
		t.Fatal(err)
	}
	var names []string
	for offset := uint64(0); ; {
		entries, err := dir.Readdir(offset, 8192-11)
		if err != nil {
			t.Fatal(err)
		}
		if len(entries) == 0 {
			break
		}
		for _, e := range entries {
			names = append(names, e.Name)
		}
		offset = entries[len(entries)-1].Offset
	}
	same(t, names)
	if _, _, err := root.Walk([]string{"no-such-name"}); err == nil || err.Error() != syscall.ENOENT.Error() {
		t.Errorf("a name that does not exist: %v", err)
	}
	if _, err := root.Mkdir("new", 0o755, 0, 0); err == nil {
		t.Error("a directory was made")
	}
}

func TestServer9fans(t *testing.T) {
	socket := serveProc(t)
	conn, err := plan9client.NewConn(dial(t, socket))
	if err != nil {
		t.Fatal(err)
	}
	fs, err := conn.Attach(nil, "none", "")
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range resting(t) {
		f, err := fs.Open(path, plan9.OREAD)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		got, err := io.ReadAll(f)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes, not %d, or others: %v", path, len(got), len(want), err)
		}
		f.Close()
	}
	dir, err := fs.Open("/", plan9.OREAD)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	all, err := dir.Dirreadall()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, d := range all {
		names = append(names, d.Name)
		if d.Name == "self" && d.Mode&plan9.DMSYMLINK == 0 {
			t.Errorf("self has mode %v", d.Mode)
		}
	}
	same(t, names)
	if _, err := fs.Stat("no-such-name"); err == nil || !strings.Contains(err.Error(), "not exist") {
		t.Errorf("a name that does not exist: %v", err)
	}
	if _, err := fs.Create("new", plan9.OWRITE, 0o644); err == nil {
		t.Error("a file was made")
	}
}

func TestServerGoP9P(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	socket := serveProc(t)
	session, err := p9p.NewSession(ctx, dial(t, socket))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := session.Attach(ctx, 1, p9p.NOFID, "none", ""); err != nil {
		t.Fatal(err)
	}
	fid := p9p.Fid(1)
	for path, want := range resting(t) {
		fid++
		if _, err := session.Walk(ctx, 1, fid, strings.Split(path, "/")...); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if _, _, err := session.Open(ctx, fid, p9p.OREAD); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		var got []byte
		buf := make([]byte, 4096)
		for {
			n, err := session.Read(ctx, fid, buf, int64(len(got)))
			if err != nil && err != io.EOF {
				t.Fatalf("%s: %v", path, err)
			}
			if n == 0 {
				break
			}
			got = append(got, buf[:n]...)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes, not %d, or others", path, len(got), len(want))
		}
		if err := session.Clunk(ctx, fid); err != nil {
			t.Errorf("%s: clunk: %v", path, err)
		}
	}
	if _, err := session.Walk(ctx, 1, 1000, "no-such-name"); err == nil || !strings.Contains(err.Error(), "not exist") {
		t.Errorf("a name that does not exist: %v", err)
	}
	if d, err := session.Stat(ctx, 1); err != nil || d.Mode&p9p.DMDIR == 0 {
		t.Errorf("stat of the root: %+v, %v", d, err)
	}
}
