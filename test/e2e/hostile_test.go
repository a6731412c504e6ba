package e2e

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/pkg/vfs"
	"github.com/aggrfs/aggrfs/test/cluster"
	"github.com/aggrfs/aggrfs/test/wait"
)

// A misdeed is a test/hostile that runs.
type misdeed struct {
	cmd      *exec.Cmd
	in       io.WriteCloser
	ended    chan struct{} // closed when it has said its last
	log      log
	mu       sync.Mutex
	said     []string // guarded by mu
	underWay atomic.Bool
}

// misbehave starts a hostile client of a user, in namespaces of its own, and waits until it is at
// it.
func (s *site) misbehave(who vfs.Identity, program, deed string) *misdeed {
	s.t.Helper()
	dir := s.t.TempDir()
	reachable(s.t, filepath.Join(dir, "x"))
	if err := os.Chown(dir, int(who.UID), int(who.GID)); err != nil {
		s.t.Fatal(err)
	}
	argv := s.asUserArgs(who)
	argv = append(argv[:len(argv)-1], "unshare", "--user", "--map-root-user", "--mount", program, strings.TrimPrefix(s.server, "unix:"), dir, deed)
	m := &misdeed{cmd: exec.Command(argv[0], argv[1:]...), ended: make(chan struct{})}
	m.cmd.Stderr = &m.log
	var err error
	if m.in, err = m.cmd.StdinPipe(); err != nil {
		s.t.Fatal(err)
	}
	out, err := m.cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := m.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(m.end)
	go func() {
		defer close(m.ended)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			m.mu.Lock()
			m.said = append(m.said, lines.Text())
			m.mu.Unlock()
			if lines.Text() == "under way" {
				m.underWay.Store(true)
			}
		}
	}()
	s.eventually(deed+" is under way, or has ended", func() bool {
		select {
		case <-m.ended:
			return true
		default:
			return m.underWay.Load()
		}
	})
	if !m.underWay.Load() {
		s.t.Fatalf("%s: %s", deed, &m.log)
	}
	return m
}

// end ends it by force.
func (m *misdeed) end() {
	m.in.Close()
	m.cmd.Process.Kill()
	m.cmd.Wait()
}

// says is what it has found.
func (m *misdeed) says() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return strings.Join(m.said, "\n")
}

// A patient is a process that is watched.
type patient struct {
	pid  int
	stop chan struct{}
	over chan struct{}
	mu   sync.Mutex
	ill  string // what was found; guarded by mu
}

// watch looks again and again whether a thread of a process is in state D, see
// proc_pid_stat(5), in the FUSE device, or for long.
func watch(t *testing.T, pid int) *patient {
	p := &patient{pid: pid, stop: make(chan struct{}), over: make(chan struct{})}
	go func() {
		defer close(p.over)
		since := make(map[string]time.Time)
		for {
			select {
			case <-p.stop:
				return
			case <-time.After(5 * time.Millisecond):
			}
			tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/[0-9]*", pid))
			for _, task := range tasks {
				text, _ := os.ReadFile(task + "/stat")
				if _, rest, _ := strings.Cut(string(text), ") "); !strings.HasPrefix(rest, "D") {
					delete(since, task)
					continue
				}
				if since[task].IsZero() {
					since[task] = time.Now()
				}
				stack, _ := os.ReadFile(task + "/stack")
				// Memory that has to come from a disk is D as well, and passes.
				if strings.Contains(string(stack), "fuse") || time.Since(since[task]) > 5*time.Second {
					p.mu.Lock()
					p.ill = fmt.Sprintf("%s%s", text, stack)
					p.mu.Unlock()
				}
			}
		}
	}()
	t.Cleanup(func() { p.end(t) })
	return p
}

// end ends the watch and says what was found.
func (p *patient) end(t *testing.T) {
	select {
	case <-p.over:
		return
	default:
	}
	close(p.stop)
	<-p.over
	if p.ill != "" {
		t.Errorf("a thread of the server waited where no signal ends it:\n%s", p.ill)
	}
}

// holdings are what a process has: the descriptors that mounts and connections take, and
// kilobytes of memory. Of the machine's own processes it has as many open as there are.
func holdings(t *testing.T, pid int) (descriptors, memory int) {
	t.Helper()
	all, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range all {
		to, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", pid, fd.Name()))
		if strings.HasPrefix(to, "/dev/fuse") || strings.HasPrefix(to, "socket:") || strings.HasPrefix(to, "anon_inode:") {
			descriptors++
		}
	}
	for line := range strings.Lines(string(status)) {
		if f := strings.Fields(line); f[0] == "VmRSS:" {
			memory, _ = strconv.Atoi(f[1])
		}
	}
	return descriptors, memory
}

// psOf is a ps of a user by exec, which must be complete. It returns how long that took.
func (s *site) psOf(who vfs.Identity) time.Duration {
	s.t.Helper()
	pids := func() map[string]bool {
		all := make(map[string]bool)
		for _, pid := range strings.Fields(s.onNode(s.cluster.Nodes[0], "ps", "-eo", "pid=")) {
			all[gpid(1, pid)] = true
		}
		return all
	}
	before, begun := pids(), time.Now()
	out, err := s.asUser(who, "exec", "--server", s.server, "--nodes", "n1", "--", "ps", "-eo", "pid=")
	took := time.Since(begun)
	if err != nil {
		s.t.Errorf("another user's ps: %v", err)
	}
	got, after := make(map[string]bool), pids()
	for _, pid := range strings.Fields(out) {
		got[pid] = true
	}
	for pid := range before {
		if after[pid] && !got[pid] {
			s.t.Errorf("another user's ps does not show %s:\n%s", pid, out)
		}
	}
	return took
}

// Users who hand over a device and do with it what they like: nobody else notices, and nothing of
// it stays.
func TestHostileClients(t *testing.T) {
	s := newSite(t, cluster.Options{Nodes: 1}, "views: [{users: \"1001\", nodes: all, processes: all}, {users: \"1002\", nodes: all, processes: all}]\ntimeouts: {connect: 3s, read: 3s, sweep: 3s}\n")
	alice, bob := vfs.Identity{UID: cluster.Alice, GID: cluster.Alice}, vfs.Identity{UID: cluster.Bob, GID: cluster.Bob}
	program := filepath.Join(t.TempDir(), "hostile")
	build := exec.Command("go", "build", "-o", program, "github.com/aggrfs/aggrfs/test/hostile")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	reachable(t, program)
	usual := s.psOf(bob)
	usual = max(usual, s.psOf(bob))
	restart := func() time.Duration {
		begun := time.Now()
		s.stop()
		s.serve()
		return time.Since(begun)
	}
	idle := restart()
	s.psOf(bob)
	s.psOf(alice)

	pid := s.pid()
	descriptors, memory := holdings(t, pid)
	p := watch(t, pid)
	lasting := []string{"swallow", "block", "answer", "deaf"}
	for _, deed := range append(lasting, "leave", "garbage", "aborted", "many") {
		m := s.misbehave(alice, program, deed)
		var longest time.Duration
		for range 3 {
			longest = max(longest, s.psOf(bob))
		}
		t.Logf("%s: another user's ps took at most %v, usually %v", deed, longest, usual)
		if deed == "many" && m.says() != "mount 65: too many open files in system\nunder way" {
			t.Errorf("65 mounts: %s", m.says())
		}
		m.end()
		wait.For(t, "the server lets go of what it had for "+deed, func() error {
			if n, _ := holdings(t, pid); n > descriptors {
				return fmt.Errorf("%d descriptors, before it were %d", n, descriptors)
			}
			return nil
		})
	}
	if _, now := holdings(t, pid); now > memory+(64<<10) {
		t.Errorf("%d KiB of memory, before it were %d", now, memory)
	}

	all := make([]*misdeed, len(lasting))
	for i, deed := range lasting {
		all[i] = s.misbehave(alice, program, deed)
	}
	p.end(t)
	p = watch(t, pid)
	took := restart()
	p.end(t)
	t.Logf("a restart takes %v, with hostile clients %v", idle, took)
	if took > 2*time.Second+4*idle {
		t.Errorf("a restart takes %v, and with hostile clients %v", idle, took)
	}
	s.psOf(bob)
	for _, m := range all {
		m.end()
	}
	if waiting := uninterruptible(t); waiting != "" {
		t.Errorf("these wait in a way that no signal ends:\n%s", waiting)
	}
}
