package aggregate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/internal/access"
	"github.com/aggrfs/aggrfs/pkg/nodeset"
	"github.com/aggrfs/aggrfs/pkg/vfs"
	"github.com/aggrfs/aggrfs/test/wait"
)

// A stream is an open watch file, read on and on.
type stream struct {
	t    *testing.T
	h    vfs.Handle
	off  int64
	text string
}

func openStream(t *testing.T, root vfs.Dir, path ...string) *stream {
	t.Helper()
	h, _, err := vfs.OpenPath(t.Context(), root, append([]string{"cluster"}, path...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return &stream{t: t, h: h}
}

// more reads once.
func (s *stream) more() {
	s.t.Helper()
	buf := make([]byte, 4096)
	n, err := s.h.ReadAt(s.t.Context(), buf, s.off)
	if err != nil || n == 0 {
		s.t.Fatalf("%d bytes, %v: a stream has no end", n, err)
	}
	s.off += int64(n)
	s.text += string(buf[:n])
}

// until reads until there is that text.
func (s *stream) until(want string) {
	s.t.Helper()
	wait.For(s.t, want, func() error {
		if !strings.Contains(s.text, want) {
			s.more()
			return errors.New(s.text)
		}
		return nil
	})
}

// A stream tells what starts and ends, which nodes fall silent and come back, and what is allocated, each
// to those who may see it, and nothing that has happened before.
func TestWatch(t *testing.T) {
	head, l := measuredLeaf(), measuredLeaf()
	l.add(10, 1001, 1, 1, 1)
	auth := authority(access.View{For: []access.Principal{{Kind: access.User, Name: "1001"}}, Nodes: access.Nodes{All: true}, Processes: access.Processes{Own: true}})
	c := startCluster(t, Config{
		Head: NodeConfig{Name: "head", Dial: head.dial}, Nodes: []NodeConfig{{Name: "n1", Dial: l.dial}}, Policy: oftenPolicy(t), Access: auth,
		Timeouts: Timeouts{Connect: time.Second, Read: time.Second, Sweep: time.Second},
	})
	all := openStream(t, rootOf(t, c, vfs.Root, ""), "every", often, "watch")
	asJSON := openStream(t, rootOf(t, c, vfs.Root, ""), "every", often, "watch.json")
	theirs := openStream(t, rootOf(t, c, vfs.Identity{UID: 1001, GID: 1001}, ""), "every", often, "watch")
	ms := int64(0)
	pass := func() { ms += 1000; l.pass(ms); head.pass(ms) }
	for _, s := range []*stream{all, asJSON, theirs} {
		s.until("sweeps")
	}
	// The text says every so often that nothing has happened.
	all.until(" none\n")
	if strings.Contains(all.text, "start") {
		t.Errorf("what was there before is told:\n%s", all.text)
	}
	l.add(11, 1001, 1, 1, 1)
	l.add(12, 1002, 1, 1, 1)
	l.end(10)
	pass()
	const mine, others = "start n1 11 10000011 1001 p11\n", "start n1 12 10000012 1002 p12\n"
	for _, want := range []string{mine, others, "end n1 10 10000010 1001 p10\n"} {
		all.until(want)
	}
	theirs.until("end n1 10 10000010 1001 p10\n")
	theirs.until(mine)
	asJSON.until(`"event":"end"`)
	for line := range strings.Lines(asJSON.text) {
		var e struct{ At, Event, Node, User, Text string }
		if err := json.Unmarshal([]byte(line), &e); err != nil || e.At == "" || e.Event == "start" && (e.Node != "n1" || !strings.HasPrefix(e.Text, "p1")) {
			t.Errorf("%s: %v", line, err)
		}
	}
	auth.SetAllocations([]access.Allocation{{User: "1002", Nodes: nodeset.Of("n1")}, {User: "1001", Nodes: nodeset.Of("n1", "n2")}})
	all.until("allocated 1002 n1\n")
	theirs.until("allocated 1001 n[1-2]\n")
	auth.SetAllocations(nil)
	theirs.until("deallocated 1001 n[1-2]\n")
	l.change(func() { l.down = true })
	l.cut()
	all.until("silent n1 ")
	l.change(func() { l.down = false })
	all.until("back n1\n")
	theirs.more()
	if strings.Contains(theirs.text, "1002") || strings.Contains(theirs.text, "p12") {
		t.Errorf("others' processes are told of:\n%s", theirs.text)
	}
	if n := strings.Count(all.text, others); n != 1 {
		t.Errorf("one start is told %d times:\n%s", n, all.text)
	}
	if _, err := all.h.ReadAt(t.Context(), make([]byte, 10), 0); err != syscall.ESPIPE {
		t.Errorf("it is read again: %v", err)
	}
	// A reader who goes away is not waited for.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := all.h.ReadAt(ctx, make([]byte, 10), all.off); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// Who does not read in time is told how many lines are lost.
func TestWatchLost(t *testing.T) {
	l := measuredLeaf()
	c := startCluster(t, Config{Head: NodeConfig{Name: "head", Dial: l.dial}, Policy: oftenPolicy(t)})
	s := openStream(t, rootOf(t, c, vfs.Root, ""), "every", often, "watch")
	s.until("sweeps")
	const many = 30000 // more than a stream lets wait
	l.change(func() {
		for pid := 100; pid < 100+many; pid++ {
			l.procs = append(l.procs, fakeProc{pid: pid, uid: 1, files: map[string]string{
				"stat": statText(pid, 1, 1, 1, 'S', pid), "cmdline": fmt.Sprintf("p%d\x00%s", pid, strings.Repeat("x", 40)), "status": "", "statm": "1",
			}})
		}
	})
	l.pass(1000)
	var lost int
	wait.For(t, "all are told of or counted", func() error {
		for i := 0; i < 100 && !strings.Contains(s.text, " lost "); i++ {
			s.more()
		}
		_, rest, found := strings.Cut(s.text, " lost ")
		if !found {
			return errors.New("nothing is lost yet")
		}
		_, err := fmt.Sscan(rest, &lost)
		return err
	})
	if told := strings.Count(s.text, " start head "); told+lost != many || lost == 0 {
		t.Errorf("%d are told of and %d are lost, of %d", told, lost, many)
	}
}

// A reader who wants the shortest interval of all looks as often as there may be something new, and no
// oftener; and what may wait for a reader is on their account from the beginning.
func TestWatchShortest(t *testing.T) {
	l := measuredLeaf()
	var looks atomic.Int64
	c := startCluster(t, Config{Head: NodeConfig{Name: "head", Dial: l.dial}, Policy: oftenPolicy(t), Now: func() time.Time {
		looks.Add(1)
		return time.Now()
	}})
	s := openStream(t, rootOf(t, c, vfs.Root, ""), "every", "1ns", "watch")
	s.until("sweeps")
	before := looks.Load()
	s.until(" none\n") // two seconds: at most 200 looks
	if n := looks.Load() - before; n > 10_000 {
		t.Errorf("the clock was asked %d times", n)
	}
	if h, ok := s.h.(vfs.Holder); !ok || h.Holds() < 1<<20 {
		t.Errorf("the stream holds nothing: %v", ok)
	}
}
