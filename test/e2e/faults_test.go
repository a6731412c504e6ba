package e2e

import (
	"encoding/binary"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/test/cluster"
)

// deadline bounds each call on the mount: the longest wait is a read (2 s here)
// and the probe after it. The tests allow for a machine under load.
const deadline = 20 * time.Second

// timed runs a command on the tree and fails if it outlives the deadline.
func (s *site) timed(dir string, argv ...string) string {
	s.t.Helper()
	start := time.Now()
	cmd := exec.CommandContext(s.t.Context(), argv[0], argv[1:]...)
	cmd.Dir = dir
	out, _ := cmd.CombinedOutput()
	if d := time.Since(start); d > deadline {
		s.t.Errorf("%v took %v", argv, d)
	}
	return string(out)
}

// count is how many processes of the node with that index a mount lists.
func (s *site) count(dir, index string) int {
	s.t.Helper()
	n := 0
	for _, name := range strings.Fields(s.timed(dir, "ls")) {
		if len(name) == 8 && strings.HasPrefix(name, index) {
			n++
		}
	}
	return n
}

// A node that is stopped, killed, or answers garbage costs its own rows and
// nothing else, and is back when it is well.
func TestFaults(t *testing.T) {
	s := newSite(t, cluster.Options{Nodes: 3}, "timeouts: {read: 1s, connect: 1s}\n")
	dir := s.mount()
	sick := s.cluster.Nodes[1]
	all := s.count(dir, "2")
	if all < 5 || s.count(dir, "1") < 5 || s.count(dir, "3") < 5 {
		t.Fatalf("not all nodes are shown: %s", s.timed(dir, "ls"))
	}
	healthy := func(t *testing.T) {
		t.Helper()
		if s.count(dir, "1") < 5 || s.count(dir, "3") < 5 {
			t.Error("rows of a healthy node are missing")
		}
		for _, argv := range [][]string{{"cat", "stat", "meminfo", "loadavg", "cpuinfo", "cluster/nodes"}, {"ls", "nodes/n2"}, {"cat", "nodes/n2/meminfo"}, {"cat", "20000001/environ"}, {"ls", "-l", "20000001/fd"}} {
			s.timed(dir, argv...)
		}
		if out := s.timed(dir, "cat", "nodes/n1/meminfo"); !strings.Contains(out, "MemTotal") {
			t.Errorf("a healthy node's meminfo: %q", out)
		}
	}
	back := func() {
		s.t.Helper()
		s.eventually("n2 is back with all its processes", func() bool {
			out, err := s.aggrfs("nodes")
			return err == nil && strings.Count(out, " up ") == 4 && s.count(dir, "2") >= all-1
		})
	}
	state := func(want string) {
		s.t.Helper()
		s.eventually("n2 is "+want, func() bool {
			out, _ := s.aggrfs("nodes")
			for line := range strings.Lines(out) {
				if f := strings.Fields(line); f[0] == "n2" {
					return f[2] == want
				}
			}
			return false
		})
	}

	t.Run("stopped", func(t *testing.T) {
		s.t = t
		if err := sick.Pause(); err != nil {
			t.Fatal(err)
		}
		healthy(t)
		state("silent")
		healthy(t)
		s.eventually("its rows are left out", func() bool { return s.count(dir, "2") == 0 })
		healthy(t)
		if err := sick.Resume(); err != nil {
			t.Fatal(err)
		}
		back()
	})
	t.Run("killed", func(t *testing.T) {
		s.t = t
		if err := sick.KillLeaf(); err != nil {
			t.Fatal(err)
		}
		state("down")
		healthy(t)
		if err := sick.StartLeaf(); err != nil {
			t.Fatal(err)
		}
		back()
	})
	t.Run("garbage", func(t *testing.T) {
		s.t = t
		if err := sick.KillLeaf(); err != nil {
			t.Fatal(err)
		}
		state("down")
		logged := strings.Count(s.log.String(), "\n")
		said, stop := babble(t, sick.Socket)
		for end := time.Now().Add(60 * time.Second); said() <= len(garbage) && time.Now().Before(end); {
			healthy(t) // while each kind of garbage is answered
		}
		connections := stop()
		// Each connection to it may cost a line or two, and nothing else any.
		if n := strings.Count(s.log.String(), "\n") - logged; connections <= len(garbage) || n == 0 || n > 3*connections+40 {
			t.Errorf("%d connections to a node that babbles, %d lines logged:\n%s", connections, n, s.log)
		}
		if err := sick.StartLeaf(); err != nil {
			t.Fatal(err)
		}
		back()
	})
}

// babble listens where a leaf should and answers a version request properly,
// then each further one with one of several kinds of garbage.
func babble(t *testing.T, socket string) (said, stop func() int) {
	t.Helper()
	os.Remove(socket)
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	var n atomic.Int64
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			answer(c, garbage[int(n.Load())%len(garbage)])
			n.Add(1)
		}
	}()
	said = func() int { return int(n.Load()) }
	return said, func() int {
		l.Close()
		<-done
		os.Remove(socket)
		return said()
	}
}

// garbage is what a sick leaf may send in place of an answer.
var garbage = []string{
	"",
	"\x00\x00\x00\x00",
	"\xff\xff\xff\xff\x69\x00\x00",
	"\x07\x00\x00\x00\x69\xff\xff",
	"\x0b\x00\x00\x00\x07\x01\x00\xff\xff\xff\xff",
	strings.Repeat("A", 4096),
}

// answer speaks 9P until the version is agreed on and garbage from then on.
func answer(c net.Conn, text string) {
	defer c.Close()
	c.SetDeadline(time.Now().Add(5 * time.Second))
	var size [4]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		return
	}
	n := binary.LittleEndian.Uint32(size[:])
	if n < 7 || n > 1<<16 {
		return
	}
	request := make([]byte, n-4)
	if _, err := io.ReadFull(c, request); err != nil {
		return
	}
	request[0]++ // Tversion (100) with the same size, tag, msize and version is Rversion (101)
	c.Write(append(size[:], request...))
	c.Write([]byte(text))
	io.Copy(io.Discard, c)
}

// A front end that is killed leaves mounts that fail at once and recover with
// it: exec and mount outlive the server.
func TestServerRestart(t *testing.T) {
	s := newSite(t, cluster.Options{Nodes: 1}, "")
	dir := s.mount()
	before := s.count(dir, "1")
	if before < 5 {
		t.Fatal("the node is not shown")
	}
	pid := strings.TrimSpace(s.timed("/", "pgrep", "-f", filepath.Join(bin, "aggrfs")+" serve --config "+s.config))
	s.timed("/", "kill", "-TERM", pid)
	s.eventually("the server has gone", func() bool { _, err := s.aggrfs("nodes"); return err != nil })
	s.timed(dir, "ls")
	s.serve()
	s.eventually("the mount is well again", func() bool { return s.count(dir, "1") == before })
}
