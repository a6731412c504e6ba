package aggregate

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/fusefs"
	"github.com/aggrfs/aggrfs/pkg/procfs9p"
	"github.com/aggrfs/aggrfs/pkg/snapshot"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// A counted leaf counts the exchanges that begin at its roots, and the requests for
// snapshots, of which it keeps the last.
type counted struct {
	*leafUpstream
	counts *exchanges
}

type exchanges struct {
	atomic.Int64
	last atomic.Pointer[snapshot.Request]
}

type countedDir struct {
	vfs.Dir // without what it can do in one exchange: the steps below it are not counted
	n       *exchanges
}

func (u counted) Attach(ctx context.Context, who vfs.Identity, aname string) (vfs.Node, error) {
	root, err := u.leafUpstream.Attach(ctx, who, aname)
	if err != nil {
		return nil, err
	}
	return countedDir{root.(vfs.Dir), u.counts}, nil
}

func (d countedDir) Walk(ctx context.Context, name string) (vfs.Node, error) {
	d.n.Add(1)
	n, err := d.Dir.Walk(ctx, name)
	if err != nil {
		return nil, err
	}
	return tellRequests(n, name, func(_ context.Context, request []byte) error {
		d.n.Add(1)
		r, err := snapshot.DecodeRequest(request)
		d.n.last.Store(&r)
		return err
	}), nil
}

func (d countedDir) List(ctx context.Context) (vfs.DirHandle, error) {
	d.n.Add(1)
	return d.Dir.List(ctx)
}

// manyProcesses starts a pid namespace of its own with a shell and that many
// processes, and returns the path of its procfs. Every second process is user 1's.
func manyProcesses(t *testing.T, many int) string {
	t.Helper()
	cmd := exec.Command("unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c",
		`for i in $(seq `+strconv.Itoa(many/2)+`); do sleep 1000 & setpriv --reuid 1 --regid 1 --clear-groups sleep 1000 & done
		until [ $(cat /proc/*/comm | grep -c sleep) = `+strconv.Itoa(many)+` ]; do :; done; echo ready; read end`)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); cmd.Process.Kill(); cmd.Wait() })
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		t.Fatal(line, err)
	}
	children, err := os.ReadFile(fmt.Sprintf("/proc/%[1]d/task/%[1]d/children", cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	return "/proc/" + strings.TrimSpace(string(children)) + "/root/proc"
}

// newCountedCluster has nodes that share one procfs and count their exchanges, and
// knows the names that their processes have.
func newCountedCluster(t *testing.T, cfg Config, proc string, nodes int) (*Cluster, map[gpid.NodeName]*exchanges) {
	t.Helper()
	counts := map[gpid.NodeName]*exchanges{}
	for i := range nodes {
		name := gpid.NodeName(fmt.Sprint("n", i+1))
		counts[name] = new(exchanges)
		cfg.Nodes = append(cfg.Nodes, NodeConfig{Name: name, Dial: func(context.Context) (Upstream, error) {
			leaf, err := procfs9p.New(procfs9p.Config{Root: proc, Version: "test"})
			if err != nil {
				return nil, err
			}
			return counted{&leafUpstream{Leaf: leaf, done: make(chan struct{})}, counts[name]}, nil
		}})
	}
	cfg.Head = NodeConfig{Name: "head", Dial: dialLeaf}
	cfg.Timeouts = Timeouts{Read: 20 * time.Second, Sweep: 20 * time.Second}
	c := startCluster(t, cfg)
	names(t, rootOf(t, c, vfs.Root, ""))
	return c, counts
}

const keepLong = swept + "- {match: \"<pid>/task\", cache: 1h}\n- {match: \"<pid>/task/<tid>/{stat,status,cmdline,environ}\", cache: 1h, negative: 1h}\n" +
	"- {match: \"<pid>/{environ,cgroup,exe,ns/*}\", cache: 1h, negative: 1h}\n- {match: \"{stat,meminfo,vmstat,loadavg}\", cache: 1h}\n"

// The programs that read a file of process after process make few exchanges with a
// node, with nothing held and with all of it.
func TestReadAheadExchanges(t *testing.T) {
	const nodes, procs = 20, 100
	proc := manyProcesses(t, procs)
	dir := t.TempDir()
	mnt, native := filepath.Join(dir, "mnt"), filepath.Join(dir, "native")
	for _, d := range []string{mnt, native} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	var skew atomic.Int64
	cfg := Config{Policy: policy(t, keepLong), Native: native, Now: func() time.Time { return time.Now().Add(time.Duration(skew.Load())) }}
	c, counts := newCountedCluster(t, cfg, proc, nodes)
	s, err := fusefs.Mount(mnt, fusefs.Config{
		Attach: func(ctx context.Context, who vfs.Identity) (vfs.Node, error) { return c.Attach(ctx, who, "") },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	for command, found := range map[string]func(out string) int{
		"ps -ef":                func(out string) int { return strings.Count(out, "sleep 1000") },
		"pgrep -f 'sleep 1000'": func(out string) int { return strings.Count(out, "\n") },
		"ps -eLf":               func(out string) int { return strings.Count(out, "sleep 1000") },
		"pidof sleep":           func(out string) int { return len(strings.Fields(out)) },
	} {
		for _, held := range []bool{false, true} {
			for _, n := range c.nodes {
				if !held {
					c.store.DropNode(string(n.Name), "")
				}
			}
			if !held {
				skew.Add(int64(time.Hour)) // no table is fresh, and all can be read ahead
			}
			for _, n := range counts {
				n.Store(0)
			}
			if got := found(inProc(t, mnt, native, command)); got < nodes*procs {
				t.Errorf("%s, held %v: %d processes of %d", command, held, got, nodes*procs)
			}
			worst, most := int64(0), int64(4)
			if command == "ps -eLf" {
				most = 24 // of the lists and of four files, two of one process and then all; each is two steps
			}
			for _, n := range counts {
				worst = max(worst, n.Load())
			}
			if t.Logf("%s, held %v: at most %d exchanges with a node", command, held, worst); worst > most || worst == 0 && !held {
				t.Errorf("%s, held %v: %d exchanges with a node", command, held, worst)
			}
		}
	}
}

// TestOneExchangeASweep lists a cluster again and again, as top does: each time it costs one exchange
// with a node, which brings what has changed.
func TestOneExchangeASweep(t *testing.T) {
	const nodes, procs = 3, 10
	proc := manyProcesses(t, procs)
	var skew atomic.Int64
	cfg := Config{Policy: policy(t, keepLong), Now: func() time.Time { return time.Now().Add(time.Duration(skew.Load())) }}
	c, counts := newCountedCluster(t, cfg, proc, nodes)
	for range 5 {
		held := map[gpid.NodeName]uint64{}
		for name, n := range counts {
			n.Store(0)
			held[name] = c.node(name).Table().Generation()
		}
		skew.Add(int64(time.Hour)) // nothing that is held is good any more
		if got := len(names(t, rootOf(t, c, vfs.Root, ""))); got < nodes*procs {
			t.Fatalf("%d names", got)
		}
		for name, n := range counts {
			if r := n.last.Load(); n.Load() != 1 || r == nil || r.Held != held[name] || r.Held == 0 {
				t.Errorf("%s: %d exchanges, the last %+v; held is %d", name, n.Load(), r, held[name])
			}
		}
	}
}

// inProc runs a shell command where mnt is at /proc and the native procfs at
// native.
func inProc(t *testing.T, mnt, native, command string) string {
	t.Helper()
	cmd := exec.Command("unshare", "-m", "sh", "-c", `mount --rbind /proc "$2" && mount --bind "$1" /proc && eval "$3"`, "sh", mnt, native, command)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", command, err, out)
	}
	return string(out)
}

// What is read ahead is what the node's kernel gives to who reads, errors too.
func TestReadAheadIsTheKernels(t *testing.T) {
	proc := manyProcesses(t, 10)
	c, counts := newCountedCluster(t, Config{Policy: policy(t, keepLong), Access: authority(everybodyEverywhere)}, proc, 1)
	leaf, err := procfs9p.New(procfs9p.Config{Root: proc, Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { leaf.Close() })
	tab, err := c.node("n1").Fresh(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, who := range []vfs.Identity{vfs.Root, uid(1), uid(2)} {
		root := rootOf(t, c, who, "")
		plain := rootOf(t, leaf, who, "")
		for _, name := range []string{"environ", "cgroup", "exe", "ns/net", "ns/user"} {
			before := counts["n1"].Load()
			for i := range tab.Len() {
				pid := int(tab.PID(i))
				got, gotErr := content(t, root, append([]string{strconv.Itoa(gpid.Stride + pid)}, strings.Split(name, "/")...)...)
				want, wantErr := content(t, plain, append([]string{strconv.Itoa(pid)}, strings.Split(name, "/")...)...)
				if kind, number, ok := strings.Cut(want, ":["); ok { // the number is n1's own, see package remote
					n, err := strconv.ParseUint(strings.TrimSuffix(number, "]"), 10, 32)
					if err != nil {
						t.Fatal(err)
					}
					want = fmt.Sprintf("%s:[%d]", kind, 1<<32|n)
				}
				if vfs.Errno(gotErr) != vfs.Errno(wantErr) || got != want {
					t.Errorf("%s of %d as user %d: %q, %v; the kernel: %q, %v", name, pid, who.UID, got, gotErr, want, wantErr)
				}
			}
			if made := counts["n1"].Load() - before; made > 6 {
				t.Errorf("%s as user %d took %d exchanges", name, who.UID, made)
			}
		}
	}
}

// The threads of a process come a directory at a time, and are what the node's kernel gives to
// the requester, errors too.
func TestThreadsReadAhead(t *testing.T) {
	const threads = 40
	cmd := exec.Command("python3", "-c", fmt.Sprintf("import sys, threading\nfor i in range(%d): threading.Thread(target=threading.Event().wait, daemon=True).start()\nprint('ready', flush=True)\nsys.stdin.read()", threads))
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 1, Gid: 1}}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); cmd.Wait() })
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		t.Fatal(line, err)
	}
	c, counts := newCountedCluster(t, Config{Policy: policy(t, keepLong), Access: authority(everybodyEverywhere)}, "/proc", 1)
	leaf, err := procfs9p.New(procfs9p.Config{Root: "/proc", Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { leaf.Close() })
	pid := cmd.Process.Pid
	for _, who := range []vfs.Identity{vfs.Root, uid(1), uid(2)} {
		root, plain := rootOf(t, c, who, ""), rootOf(t, leaf, who, "")
		before := counts["n1"].Load()
		listed := names(t, walkDir(t, root, strconv.Itoa(gpid.Stride+pid), "task"))
		if len(listed) != threads+1 {
			t.Fatalf("user %d: there are %d threads", who.UID, len(listed))
		}
		for _, name := range listed {
			g, _ := strconv.Atoi(name)
			own := []string{strconv.Itoa(pid), "task", strconv.Itoa(g - gpid.Stride)}
			path := []string{strconv.Itoa(gpid.Stride + pid), "task", name}
			a, err := walkDir(t, root, path...).Attr(t.Context())
			want, wantErr := walkDir(t, plain, own...).Attr(t.Context())
			if err != nil || wantErr != nil || a.Mode != want.Mode || a.UID != want.UID || a.GID != want.GID || a.Nlink != want.Nlink {
				t.Errorf("user %d: thread %s is %+v, %v; on the node %+v, %v", who.UID, name, a, err, want, wantErr)
			}
			for _, file := range []string{"cmdline", "environ"} {
				got, gotErr := content(t, root, append(path, file)...)
				want, wantErr := content(t, plain, append(own, file)...)
				if vfs.Errno(gotErr) != vfs.Errno(wantErr) || got != want {
					t.Errorf("user %d: %s of thread %s: %q, %v; the kernel: %q, %v", who.UID, file, name, got, gotErr, want, wantErr)
				}
			}
		}
		if made := counts["n1"].Load() - before; made > 24 {
			t.Errorf("user %d: %d threads took %d exchanges", who.UID, threads, made)
		}
	}
}

// content is a file's content or a link's text.
func content(t *testing.T, root vfs.Dir, path ...string) (string, error) {
	t.Helper()
	found, _, err := vfs.WalkPath(t.Context(), root, path...)
	if err != nil {
		return "", err
	}
	switch f := found.(type) {
	case vfs.Link:
		return f.Readlink(t.Context())
	case vfs.File:
		h, err := f.Open(t.Context())
		if err != nil {
			return "", err
		}
		defer h.Close()
		b, err := vfs.ReadAll(t.Context(), h, 1<<20)
		return string(b), err
	}
	return "", syscall.EISDIR
}
