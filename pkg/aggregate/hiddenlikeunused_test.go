package aggregate

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/internal/access"
	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/cachepolicy"
	"github.com/aggrfs/aggrfs/pkg/ninep"
	"github.com/aggrfs/aggrfs/pkg/procfs9p"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// A wiretap is a connection of which the types of all messages are noted, both ways.
type wiretap struct {
	net.Conn
	mu        sync.Mutex
	said      []string
	out, back []byte // of a frame that is not whole yet
}

func (w *wiretap) note(rest *[]byte, p []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for *rest = append(*rest, p...); len(*rest) >= 5; {
		size := int(binary.LittleEndian.Uint32(*rest))
		if len(*rest) < size {
			return
		}
		w.said = append(w.said, strconv.Itoa(int((*rest)[4])))
		*rest = (*rest)[size:]
	}
}

func (w *wiretap) Write(p []byte) (int, error) { w.note(&w.out, p); return w.Conn.Write(p) }

func (w *wiretap) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	w.note(&w.back, p[:n])
	return n, err
}

// heard are the types of the messages since the last call, sorted: an error is an answer
// like another.
func (w *wiretap) heard() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	said := w.said
	w.said = nil
	for i, s := range said {
		if n, _ := strconv.Atoi(s); n%2 == 1 { // the answers
			said[i] = "R"
		}
	}
	slices.Sort(said)
	return said
}

// lookups are the ways to look for a process by number, on node n1.
func lookups(root vfs.Dir) map[string]func(ctx context.Context, pid int) error {
	walk := func(path func(pid int) []string) func(context.Context, int) error {
		return func(ctx context.Context, pid int) error {
			_, _, err := vfs.WalkPath(ctx, root, path(pid)...)
			return err
		}
	}
	return map[string]func(context.Context, int) error{
		"gpid":           walk(func(pid int) []string { return []string{strconv.Itoa(gpid.Stride + pid)} }),
		"node and pid":   walk(func(pid int) []string { return []string{"n1:" + strconv.Itoa(pid)} }),
		"nodes/":         walk(func(pid int) []string { return []string{"nodes", "n1", strconv.Itoa(pid)} }),
		"users/":         walk(func(pid int) []string { return []string{"users", "1", strconv.Itoa(gpid.Stride + pid)} }),
		"cluster/where/": walk(func(pid int) []string { return []string{"cluster", "where", strconv.Itoa(gpid.Stride + pid)} }),
		"a file of it":   walk(func(pid int) []string { return []string{strconv.Itoa(gpid.Stride + pid), "status"} }),
	}
}

// To look for a hidden process and for one that is not there makes the same exchanges
// with the leaf, whether the table is good, old, or older than the process.
func TestHiddenLikeUnused(t *testing.T) {
	for _, keep := range []time.Duration{time.Hour, time.Millisecond} {
		for _, hide := range []int{0, 1, 2} {
			leaf := kin()
			leaf.facts.HidePID = hide
			c := fakeCluster(t, Config{Policy: cachepolicy.Sweep(keep), Access: authority(ownEverywhere)}, newFakeLeaf(), leaf)
			bob := rootOf(t, c, uid(1), "")
			names(t, bob)
			leaf.add(30070, 2, 1, 30070, 30070) // which the table has not got
			for way, look := range lookups(bob) {
				hidden := map[int][]string{}
				for _, pid := range []int{20100, 30060, 30070, 30071, 30060, 30070, 30071} {
					time.Sleep(2 * time.Millisecond) // a table that may be old is
					leaf.requests()
					err := look(t.Context(), pid)
					if shown := pid < 30000; shown != (err == nil) || err != nil && vfs.Errno(err) != syscall.ENOENT {
						t.Errorf("%v, hidepid=%d, %s: %d: %v", keep, hide, way, pid, err)
					}
					// Who looks for one after the other has the table renewed in the end, for
					// whatever they look: see node.renew.
					hidden[pid] = slices.DeleteFunc(leaf.requests(), func(what string) bool { return what == "snapshot" })
				}
				if !slices.Equal(hidden[30060], hidden[30071]) || !slices.Equal(hidden[30070], hidden[30071]) || len(hidden[30071]) == 0 {
					t.Errorf("%v, hidepid=%d, %s: exchanges for a hidden process %v, a new hidden one %v, none %v", keep, hide, way, hidden[30060], hidden[30070], hidden[30071])
				}
			}
		}
	}
}

// The same, by the messages of 9P with a real leaf.
func TestHiddenLikeUnusedOnTheWire(t *testing.T) {
	leaf, err := procfs9p.New(procfs9p.Config{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { leaf.Close() })
	var tap *wiretap
	hidden := sleeper(t, 2)
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	quiet := slog.New(slog.DiscardHandler)
	go func() {
		done <- ninep.NewServer(ninep.ServerConfig{Tree: leaf, Log: quiet, Identify: func(_ ninep.Peer, c ninep.Claim) (vfs.Identity, error) { return vfs.Root, nil }}).Serve(ctx, l)
	}()
	t.Cleanup(func() { cancel(); <-done })
	c := startCluster(t, Config{
		Policy: cachepolicy.Sweep(time.Hour), Access: authority(ownEverywhere),
		Head: NodeConfig{Name: "head", Dial: dialLeaf},
		Nodes: []NodeConfig{{Name: "n1", Dial: func(ctx context.Context) (Upstream, error) {
			conn, err := net.Dial("unix", l.Addr().String())
			if err != nil {
				return nil, err
			}
			tap = &wiretap{Conn: conn}
			return ninep.NewClient(ctx, tap, ninep.ClientConfig{Log: quiet})
		}}},
	})
	bob := rootOf(t, c, uid(1), "")
	names(t, bob)
	unused := 4194303
	for _, err := os.Stat(fmt.Sprintf("/proc/%d", unused)); err == nil; unused-- {
		_, err = os.Stat(fmt.Sprintf("/proc/%d", unused))
	}
	for way, look := range lookups(bob) {
		look(t.Context(), hidden) // attached, once
		var heard [2][]string
		for i, pid := range []int{hidden, unused} {
			tap.heard()
			if err := look(t.Context(), pid); vfs.Errno(err) != syscall.ENOENT {
				t.Errorf("%s: %v", way, err)
			}
			heard[i] = tap.heard()
		}
		// A fid may be given back a little later.
		for i := range heard {
			heard[i] = slices.DeleteFunc(heard[i], func(m string) bool { return m == "R" || m == "120" })
		}
		if !slices.Equal(heard[0], heard[1]) || len(heard[0]) == 0 {
			t.Errorf("%s: messages for a hidden process %v, for none %v", way, heard[0], heard[1])
		}
	}
}

// Where gpids are dealt in pages, a number in no page is asked for like one whose process
// is hidden.
func TestHiddenLikeUnusedInPages(t *testing.T) {
	gpids, err := gpid.Open(filepath.Join(t.TempDir(), "gpids.json"), gpid.Paged, []gpid.NodeName{"n1"})
	if err != nil {
		t.Fatal(err)
	}
	leaf := kin()
	c, err := New(Config{
		Policy: cachepolicy.Sweep(time.Hour), Access: authority(access.View{For: anyone, Nodes: nodesOf("n1"), Processes: access.Processes{Own: true}}),
		Head: NodeConfig{Name: "head", Dial: newFakeLeaf().dial}, Nodes: []NodeConfig{{Name: "n1", Dial: leaf.dial}}, GPIDs: gpids,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.Ready(t.Context())
	bob := rootOf(t, c, uid(1), "")
	names(t, rootOf(t, c, vfs.Root, "")) // all have numbers
	names(t, bob)
	hidden := c.node("n1").GPID(30060)
	for _, dir := range [][]string{nil, {"cluster", "where"}} {
		var asked [3][]string
		for i, g := range []gpid.GPID{hidden, hidden + 1, 2_000_000_000} {
			leaf.requests()
			if _, _, err := vfs.WalkPath(t.Context(), bob, append(slices.Clone(dir), g.String())...); vfs.Errno(err) != syscall.ENOENT {
				t.Errorf("%v %d: %v", dir, g, err)
			}
			asked[i] = leaf.requests()
		}
		if !slices.Equal(asked[0], asked[1]) || !slices.Equal(asked[0], asked[2]) || len(asked[0]) == 0 {
			t.Errorf("%v: exchanges for a hidden process %v, for none in its page %v, in no page %v", dir, asked[0], asked[1], asked[2])
		}
	}
}
