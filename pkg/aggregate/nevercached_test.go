package aggregate

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/ninep"
	"github.com/aggrfs/aggrfs/pkg/procfs9p"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// turned is a letter as tr a-z n-za-m has it: what is turned twice is what it was. So
// a text can be looked for in memory without being there itself.
func turned(c byte) byte {
	if c < 'a' || c > 'z' {
		return c
	}
	return 'a' + (c-'a'+13)%26
}

// holds reports whether b has the text that is turned in.
func holds(b []byte, in string) bool {
	for i := 0; i+len(in) <= len(b); i++ {
		k := 0
		for k < len(in) && turned(b[i+k]) == in[k] {
			k++
		}
		if k == len(in) && !inSignalFrame(b[i:]) {
			return true
		}
	}
	return false
}

// inSignalFrame reports whether what b begins with are vector registers that the kernel has
// saved on the stack of a signal that came in the middle of a copy: they have a magic
// number behind them (FP_XSTATE_MAGIC1 of asm/sigcontext.h). Those stacks are the
// runtime's, which overwrites them with the next signal.
func inSignalFrame(b []byte) bool {
	return bytes.Contains(b[:min(len(b), 512)], []byte("SXPF"))
}

// found are the parts of this process's memory that have the text that is turned in.
func found(t *testing.T, in string) (where []string) {
	t.Helper()
	maps, err := os.Open("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	defer maps.Close()
	mem, err := os.Open("/proc/self/mem")
	if err != nil {
		t.Fatal(err)
	}
	defer mem.Close()
	buf := make([]byte, 1<<20)
	lines := bufio.NewScanner(maps)
	for lines.Scan() {
		var from, to int64
		var mode string
		if n, _ := fmt.Sscanf(lines.Text(), "%x-%x %s", &from, &to, &mode); n != 3 || !strings.HasPrefix(mode, "rw") {
			continue
		}
		for at := from; at < to; at += int64(len(buf) - 512) {
			n, _ := mem.ReadAt(buf[:min(int64(len(buf)), to-at)], at) // what cannot be read is passed over
			if holds(buf[:n], in) {
				where = append(where, fmt.Sprintf("%x", at))
			}
			clear(buf[:n])
		}
	}
	return where
}

// countingTree counts the walks to environ.
type countingTree struct {
	vfs.Tree
	opens *atomic.Int64
}

func (c countingTree) Attach(ctx context.Context, who vfs.Identity, aname string) (vfs.Node, error) {
	n, err := c.Tree.Attach(ctx, who, aname)
	if dir, ok := n.(vfs.Dir); ok && err == nil && aname == "" {
		return countingDir{dir, c.opens}, nil
	}
	return n, err
}

type countingDir struct {
	vfs.Dir
	opens *atomic.Int64
}

func (d countingDir) WalkPath(ctx context.Context, names ...string) (vfs.Node, []uint64, error) {
	if names[len(names)-1] == "environ" { // each open begins with a walk
		d.opens.Add(1)
	}
	return d.Dir.(vfs.PathWalker).WalkPath(ctx, names...)
}

// serve9P serves a tree on a socket, with root as everybody, and returns what dials it.
func serve9P(t *testing.T, tree vfs.Tree) Dialer {
	t.Helper()
	l, err := net.Listen("unix", t.TempDir()+"/s")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	root := func(ninep.Peer, ninep.Claim) (vfs.Identity, error) { return vfs.Root, nil }
	quiet := slog.New(slog.DiscardHandler)
	go func() {
		done <- ninep.NewServer(ninep.ServerConfig{Tree: tree, Identify: root, Log: quiet}).Serve(ctx, l)
	}()
	t.Cleanup(func() { cancel(); <-done })
	return func(ctx context.Context) (Upstream, error) {
		conn, err := net.Dial("unix", l.Addr().String())
		if err != nil {
			return nil, err
		}
		return ninep.NewClient(ctx, conn, ninep.ClientConfig{Log: quiet})
	}
}

// A file that the policy never lets be held reaches the leaf on each open, and its bytes
// are in no tier afterwards: leaf, front end and both ends of both connections are in
// this process, whose memory is searched.
func TestNeverIsCachedNowhere(t *testing.T) {
	random := rand.New(rand.NewPCG(uint64(os.Getpid()), uint64(time.Now().UnixNano())))
	var secret strings.Builder
	for range 48 {
		secret.WriteByte('a' + byte(random.IntN(26)))
	}
	// The process turns the text itself, and has it in no command line, which tables hold. Its
	// environment is short, so that it lies among what stays when others of its size go.
	script := fmt.Sprintf(`S1=$(echo %s | tr a-z n-za-m); S2=$S1; unset PWD OLDPWD; export S1 S2; exec sleep 1000`, secret.String())
	cmd := exec.Command("sh", "-c", script)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	leaf, err := procfs9p.New(procfs9p.Config{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { leaf.Close() })
	var opens atomic.Int64
	c := startCluster(t, Config{
		Head:  NodeConfig{Name: "head", Dial: dialLeaf},
		Nodes: []NodeConfig{{Name: "n1", Dial: serve9P(t, countingTree{leaf, &opens})}},
	})
	up, err := serve9P(t, c)(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { up.Close() })
	root := rootOf(t, up, vfs.Root, "")
	path := []string{strconv.Itoa(gpid.Stride + cmd.Process.Pid), "environ"}
	// On the heap: a stack that grows is copied, and stays behind.
	whole := make([]byte, os.Getpagesize()*8)
	look := func() bool {
		h, _, err := vfs.OpenPath(t.Context(), root, path...)
		if err != nil {
			t.Fatal(err)
		}
		defer h.Close()
		buf := whole
		defer clear(buf)
		n, err := h.ReadAt(t.Context(), buf, 0)
		if err != nil && err != io.EOF {
			t.Fatal(err)
		}
		return holds(buf[:n], secret.String())
	}
	within := time.Now().Add(20 * time.Second)
	for !look() { // the shell has become sleep
		if time.Now().After(within) {
			t.Fatal("the process has no such environment")
		}
		time.Sleep(10 * time.Millisecond)
	}
	before := opens.Load()
	const reads = 20
	for range reads {
		if !look() {
			t.Fatal("it is another content")
		}
	}
	if n := opens.Load() - before; n < reads {
		t.Errorf("%d opens have made %d walks at the leaf", reads, n)
	}
	// Nobody waits for the answer to the clunk of a file.
	for end := time.Now().Add(20 * time.Second); ; {
		for range 2 {
			runtime.GC()
		}
		debug.FreeOSMemory()
		where := found(t, secret.String())
		if len(where) == 0 {
			break
		}
		if time.Now().After(end) {
			t.Errorf("the text is still in memory, at %v", where)
			break
		}
	}
}
