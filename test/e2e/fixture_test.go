package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/test/cluster"
	"github.com/aggrfs/aggrfs/test/wait"
)

// bin is where the programs under test are.
var bin string

func TestMain(m *testing.M) { os.Exit(runTests(m)) }

func runTests(m *testing.M) int {
	dir, err := os.MkdirTemp("", "aggrfs-bin-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	// This machine's own front end, if it has one, has nothing to do with the tests.
	paths := fmt.Sprintf("-X main.defaultServer=unix:%s -X main.installedConfig=%s", filepath.Join(dir, defaultSocket), filepath.Join(dir, installedConfig))
	for _, name := range []string{"aggrfs", "procsrv"} {
		argv := append([]string{"build", "-ldflags", paths, "-o", filepath.Join(dir, name)}, buildFlags...)
		build := exec.Command("go", append(argv, "github.com/aggrfs/aggrfs/cmd/"+name)...)
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build %s: %v\n%s", name, err, out)
			return 1
		}
	}
	if err := cluster.BuildInit(context.Background(), filepath.Join(dir, "nodeinit")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	bin = dir
	// Each program would wait a second at its end for races of threads that go on.
	if err := os.Setenv("GORACE", "atexit_sleep_ms=20"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// Where the program looks for a front end that it is not told of, within bin.
const (
	defaultSocket   = "default.sock"
	installedConfig = "installed.yaml"
)

// A site is a cluster of nodes with the front end that serves them.
type site struct {
	t        *testing.T
	cluster  *cluster.Cluster
	programs string // the directory of the front end's program
	config   string
	server   string // the front end's address
	tls      string // another, where its configuration has certificates
	log      *log
	killed   bool // the test kills it
}

// newSite starts the nodes of o and aggrfs serve. Extra is added to its configuration.
func newSite(t *testing.T, o cluster.Options, extra string) *site {
	t.Helper()
	return newSiteBy(t, bin, o, extra)
}

// newSiteBy is newSite with the programs of that directory, but for a leaf that o names.
func newSiteBy(t *testing.T, programs string, o cluster.Options, extra string) *site {
	t.Helper()
	dir := t.TempDir()
	if o.ProcsrvPath == "" {
		o.ProcsrvPath = filepath.Join(programs, "procsrv")
	}
	o.InitPath = filepath.Join(bin, "nodeinit")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	c, err := cluster.Start(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		mounts, err := os.ReadFile("/proc/self/mountinfo")
		if err != nil || strings.Contains(string(mounts), c.Dir) || strings.Contains(string(mounts), dir) {
			t.Errorf("mounts are left behind: %v\n%s", err, mounts)
		}
	})
	s := &site{t: t, cluster: c, programs: programs, config: filepath.Join(dir, "aggrfs.yaml"), server: "unix:" + filepath.Join(dir, "aggrfs.sock"), log: &log{}}
	if !strings.Contains(extra, "timeouts:") {
		// The machine may be busy, and have thousands of processes for the head to sweep.
		extra += "timeouts: {connect: 50s, read: 50s, sweep: 50s}\n"
	}
	var b strings.Builder
	listen := fmt.Sprintf("%q", s.server)
	if strings.Contains(extra, "tls: {") {
		s.tls = "tls:" + freeAddress(t)
		listen += fmt.Sprintf(", %q", s.tls)
	}
	fmt.Fprintf(&b, "version: 1\nlisten: [%s]\nstate: %s\nhead: head\n%snodes:\n", listen, filepath.Join(dir, "gpids.json"), extra)
	for _, n := range c.Nodes {
		fmt.Fprintf(&b, "  - {nodes: %s, address: %q}\n", n.Name, n.Address)
	}
	if err := os.WriteFile(s.config, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	s.serve()
	return s
}

// serve starts the front end and waits until it knows all nodes.
func (s *site) serve() {
	s.t.Helper()
	cmd := exec.Command(filepath.Join(s.programs, "aggrfs"), "serve", "--config", s.config)
	cmd.Stderr = s.log
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		// One that hangs says where.
		defer time.AfterFunc(wait.Patience, func() { cmd.Process.Signal(syscall.SIGQUIT) }).Stop()
		if err := cmd.Wait(); err != nil && !(s.killed && strings.Contains(err.Error(), "killed")) {
			s.t.Errorf("aggrfs serve: %v\n%s", err, s.log)
		}
		if strings.Contains(s.log.String(), "DATA RACE") {
			s.t.Errorf("aggrfs serve:\n%s", s.log)
		}
	})
	s.eventually("all nodes are up", func() bool {
		out, err := s.aggrfs("nodes")
		return err == nil && strings.Count(out, " up ") == len(s.cluster.Nodes)+1
	})
}

func (s *site) eventually(what string, f func() bool) {
	s.t.Helper()
	s.eventuallyNil(what, func() error {
		if !f() {
			return errors.New("it is not so")
		}
		return nil
	})
}

// eventuallyNil waits until try returns no error, and shows with the last one how the nodes are.
func (s *site) eventuallyNil(what string, try func() error) {
	s.t.Helper()
	if last := wait.Poll(context.Background(), try); last != nil {
		out, err := s.aggrfs("nodes")
		s.t.Fatalf("%s: %v; nodes (%v):\n%s\nlog:\n%s", what, last, out, err, s.log)
	}
}

// sameRows compares rows of the tree with rows of the nodes, which states and threads that come
// and go make differ from one moment to the next. So it looks at the nodes before and after
// each look at the tree: rows that are the same both times must be the same between, and it
// goes on until every row has been compared in this way. It returns how many there are.
func (s *site) sameRows(what string, key func(row string) string, nodes, tree func() []string) (n int) {
	s.t.Helper()
	compared := make(map[string]bool) // by key
	s.eventuallyNil(what, func() error {
		before, got, after := nodes(), tree(), nodes()
		rest, missing, more := []string{}, []string{}, []string{}
		keys := func(rows []string) map[string]bool {
			all := make(map[string]bool, len(rows))
			for _, row := range rows {
				all[key(row)] = true
			}
			return all
		}
		was, is, stays := keys(before), keys(got), keys(after)
		for _, row := range before {
			k := key(row)
			switch {
			case !stays[k]:
				continue
			case !is[k]:
				missing = append(missing, row)
			case slices.Contains(after, row) && slices.Contains(got, row):
				compared[k] = true
			}
			if !compared[k] {
				rest = append(rest, row)
			}
		}
		for _, row := range got {
			if k := key(row); !was[k] && !stays[k] {
				more = append(more, row)
			}
		}
		if n = len(before); len(rest)+len(missing)+len(more) == 0 && len(got) <= max(len(before), len(after)) {
			return nil
		}
		return fmt.Errorf("never the same: %q; missing: %q; too many: %q; got\n%s\nwant\n%s\nand then\n%s",
			rest, missing, more, strings.Join(got, "\n"), strings.Join(before, "\n"), strings.Join(after, "\n"))
	})
	return n
}

// nameOf is what tools call a user of this machine: a name, where there is one.
func nameOf(uid uint32) string {
	if u, err := user.LookupId(fmt.Sprint(uid)); err == nil {
		return u.Username
	}
	return fmt.Sprint(uid)
}

// aggrfs runs a subcommand that asks the front end.
func (s *site) aggrfs(sub string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(bin, "aggrfs"), append([]string{sub, "--server", s.server}, args...)...)
	return output(cmd)
}

// output runs a command and returns what it printed; stderr is part of an error.
func output(cmd *exec.Cmd) (string, error) {
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	cmd.Env = append(cmd.Environ(), "LC_ALL=C.UTF-8", "COLUMNS=1000", "TERM=dumb")
	out, err := cmd.Output()
	if err != nil || stderr.Len() > 0 {
		err = fmt.Errorf("%v: %w: %s", cmd.Args, orNone(err), &stderr)
	}
	return string(out), err
}

type noError struct{}

func (noError) Error() string { return "it complains" }

func orNone(err error) error {
	if err == nil {
		return noError{}
	}
	return err
}

// onTree runs a command on the merged tree of the nodes, without the head.
func (s *site) onTree(argv ...string) string {
	s.t.Helper()
	out, err := s.aggrfs("exec", append([]string{"--nodes", "n[1-" + fmt.Sprint(len(s.cluster.Nodes)) + "]", "--"}, argv...)...)
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

// onAll runs a command on the merged tree with the head.
func (s *site) onAll(argv ...string) string {
	s.t.Helper()
	out, err := s.aggrfs("exec", append([]string{"--"}, argv...)...)
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

// onNode runs a command on a node itself: the oracle.
func (s *site) onNode(n *cluster.Node, argv ...string) string {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	out, err := output(n.Command(ctx, argv...))
	if err != nil {
		s.t.Fatalf("on %s: %v", n.Name, err)
	}
	return out
}

// mount mounts the whole tree on a directory until the test ends.
func (s *site) mount() string {
	s.t.Helper()
	return s.mountAt(s.t.TempDir())
}

// mountAt mounts the whole tree on dir until the test ends.
func (s *site) mountAt(dir string, flags ...string) string {
	s.t.Helper()
	argv := append(append([]string{"mount", "--server", s.server}, flags...), dir)
	cmd := exec.Command(filepath.Join(bin, "aggrfs"), argv...)
	var log log
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil || strings.Contains(log.String(), "DATA RACE") {
			s.t.Errorf("aggrfs %v: %v\n%s", argv, err, &log)
		}
	})
	s.eventually("the tree is mounted", func() bool {
		_, err := os.Stat(filepath.Join(dir, "cluster/nodes"))
		return err == nil
	})
	return dir
}
