package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aggrfs/aggrfs/test/cluster"
	"github.com/aggrfs/aggrfs/test/figures"
	"github.com/aggrfs/aggrfs/test/requester"
	"github.com/aggrfs/aggrfs/test/wait"
)

const (
	// serverCache is how long the server's policy keeps what ps reads: longer than a cold ps takes.
	serverCache = 4 * time.Second
	// serverExpired is when nothing is in force any more.
	serverExpired = serverCache + 200*time.Millisecond
	// commandLimit is how long a command may take, with what it waits for.
	commandLimit = 2 * time.Minute
	// tryLimit is how long one look at whether something is ready may take.
	tryLimit = 20 * time.Second
)

// The commands that are timed, as a shell runs them. What is looked for does not exist.
const (
	runPS    = `ps -ef >/dev/null`
	runPgrep = `{ pgrep -f '^no such argument list$' || true; }`
	runPidof = `{ pidof no-such-program || true; }`
	runTop   = `top -b -n1 >/dev/null`
)

// A leaf is a node whose procsrv a server reads, with who runs commands.
type leaf struct {
	of       size
	node     *cluster.Node
	dir      string
	address  string // the server's
	programs *requester.Programs
}

// withServer starts a leaf and a server that reads it, and measures.
func withServer(ctx context.Context, of size, measure func(*leaf, context.Context) error) (err error) {
	c, err := cluster.Start(ctx, cluster.Options{
		Nodes: 1, ProcsrvPath: "bin/procsrv", Many: of.procs,
		Workload: func(string) []cluster.Process { return nil },
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	dir, err := os.MkdirTemp("", "aggrfs-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	l := &leaf{of: of, node: c.Nodes[0], dir: dir, address: "unix:" + filepath.Join(dir, "aggrfs.sock")}
	if l.programs, err = requester.Install(dir, "bin"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.programs.Close()) }()
	stop, err := l.serve(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	return measure(l, ctx)
}

// serverFigures compares programs on the tree of one remote leaf, through a running server, with
// the same programs on that node's own /proc, for root, for a user in a user namespace and for a
// user with the helper:
//
//   - ps-server: "ps -ef" as aggrfs exec runs it, the first one and a second one; ps-typed is the
//     whole command "aggrfs exec -- ps -ef", from its start to its end, and the same once more
//   - ps-fast: with --prefetched
//   - ps-shell: "ps -ef" from a shell below exec; ps-shell-mount is what ps reads, on a mount by
//     aggrfs mount --allow-other
//   - pgrep, pidof, top: the first run
func (l *leaf) serverFigures(ctx context.Context) (err error) {
	for _, who := range []requester.Requester{l.programs.Root(), l.programs.User(), l.programs.WithHelper()} {
		if e := l.figures(ctx, who); e != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", who.Name, e))
		}
		if ctx.Err() != nil {
			return err
		}
	}
	return errors.Join(err, l.mounted(ctx, l.programs.Root(), l.programs.User()))
}

// serve starts the server. stop ends it.
func (l *leaf) serve(ctx context.Context) (stop func() error, err error) {
	config, policy := filepath.Join(l.dir, "aggrfs.yaml"), filepath.Join(l.dir, "policy.yaml")
	if err := os.WriteFile(policy, []byte(psPolicy(serverCache)), 0o600); err != nil {
		return nil, err
	}
	text := fmt.Sprintf(`version: 1
listen: [%q]
head: head
state: %s/gpids.json
policy: %s
timeouts: {connect: 50s, read: 50s, sweep: 50s}
views: [{users: "%d", nodes: n1, processes: all}]
nodes: [{nodes: n1, address: %q}]
`, l.address, l.dir, policy, requester.UID, l.node.Address)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, err
	}
	serve := l.programs.Root().Aggrfs(ctx, "serve", "--config", config, "--log-level", "error")
	serve.Stderr = os.Stderr
	if err := serve.Start(); err != nil {
		return nil, err
	}
	stop = func() error {
		_ = serve.Process.Signal(syscall.SIGTERM)
		kill := time.AfterFunc(commandLimit, func() { serve.Process.Kill() })
		defer kill.Stop()
		err := serve.Wait()
		requester.Finish(serve)
		return err
	}
	err = wait.Poll(ctx, func() error {
		ctx, cancel := context.WithTimeout(ctx, tryLimit)
		defer cancel()
		return quiet(ctx, l.programs.Root().Aggrfs(ctx, "ps", "--server", l.address, "--nodes", "n1", "--strict", "--limit", "1"))
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("aggrfs serve does not answer: %w", err), stop())
	}
	return stop, nil
}

// quiet runs a command that prints nothing of interest.
func quiet(ctx context.Context, cmd *exec.Cmd) error {
	defer requester.Finish(cmd)
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%v: %w: %s", cmd.Args, errors.Join(err, ctx.Err()), &complaint)
	}
	return nil
}

// figures prints who's figures with aggrfs exec. One that cannot be measured is not the end of
// the others.
func (l *leaf) figures(ctx context.Context, who requester.Requester) error {
	var errs []error
	// exec has ps, and what is like it, on one CPU by itself.
	for _, f := range []struct {
		name, command string
		flags         []string
		runs          int
	}{
		{"ps-server", runPS, []string{"--one-cpu"}, 2},
		{"ps-fast", runPS, []string{"--prefetched"}, 2},
		{"ps-shell", runPS, nil, 2},
		{"pgrep", runPgrep, []string{"--one-cpu"}, 1},
		{"pidof", runPidof, []string{"--one-cpu"}, 1},
		{"top", runTop, []string{"--one-cpu"}, 1},
	} {
		below := func(ctx context.Context, script string) *exec.Cmd {
			argv := append([]string{"exec", "--server", l.address, "--nodes", "n1"}, f.flags...)
			return who.Aggrfs(ctx, append(argv, "--", "bash", "-c", script)...)
		}
		native := func(ctx context.Context) (time.Duration, error) { return l.onNode(ctx, who, f.command) }
		in := func(ctx context.Context, pause time.Duration) *exec.Cmd {
			return below(ctx, fmt.Sprintf("sleep %g; %s", pause.Seconds(), timed(f.command, f.runs)))
		}
		err := l.whole(ctx, below)
		if err == nil {
			err = l.compare(ctx, who, f.name, native, in, f.runs)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", f.name, err))
		}
		if ctx.Err() != nil {
			return errors.Join(errs...)
		}
	}
	return errors.Join(append(errs, l.typed(ctx, who))...)
}

// An onTree makes a command that waits, runs something on the tree as often as it is to be, and
// prints what each run has taken, in seconds, on stderr.
type onTree func(ctx context.Context, pause time.Duration) *exec.Cmd

// timed is a script in which a command is run so often, each time with what it took on stderr.
func timed(command string, runs int) string {
	return "TIMEFORMAT=%R" + strings.Repeat("; time "+command, runs)
}

// onNode is what a command takes on the node's own /proc.
func (l *leaf) onNode(ctx context.Context, who requester.Requester, command string) (time.Duration, error) {
	times, err := seconds(l.node.Command(ctx, who.As("bash", "-c", timed(command, 1))...))
	if err != nil {
		return 0, err
	}
	return times[0], nil
}

// compare prints NAME-cold, and NAME-warm if there are two runs: what they take on the tree, and
// natively.
func (l *leaf) compare(ctx context.Context, who requester.Requester, name string, native func(context.Context) (time.Duration, error), in onTree, runs int) error {
	var natives []time.Duration
	ours := make([][]time.Duration, runs)
	for i := range l.of.rounds + 1 {
		n, err := native(ctx)
		if err != nil {
			return err
		}
		if i == 0 { // the first run finds nothing in the kernel's caches
			continue
		}
		// Starting may have swept: what that brought has expired after the pause.
		times, err := l.run(ctx, in)
		if err != nil {
			return err
		}
		if len(times) != runs {
			return fmt.Errorf("%d times of %d runs", len(times), runs)
		}
		natives = append(natives, n)
		for k, took := range times {
			ours[k] = append(ours[k], took)
		}
	}
	for k, when := range []string{"cold", "warm"}[:runs] {
		figures.Print(lineOf(name+"-"+when, who), figures.Median(ours[k]), figures.Median(natives))
	}
	return nil
}

// lineOf is the name of a figure: root's is the plain one.
func lineOf(name string, who requester.Requester) string {
	if who.IsRoot() {
		return name
	}
	return name + "/" + who.Name
}

// run runs a command on the tree that prints times.
func (l *leaf) run(ctx context.Context, in onTree) ([]time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, commandLimit)
	defer cancel()
	cmd := in(ctx, serverExpired)
	defer requester.Finish(cmd)
	times, err := seconds(cmd)
	return times, errors.Join(err, ctx.Err())
}

// whole looks whether ps shows all processes.
func (l *leaf) whole(ctx context.Context, exec func(ctx context.Context, script string) *exec.Cmd) error {
	ctx, cancel := context.WithTimeout(ctx, commandLimit)
	defer cancel()
	cmd := exec(ctx, "ps -e | wc -l")
	defer requester.Finish(cmd)
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%v: %w: %s", cmd.Args, errors.Join(err, ctx.Err()), &complaint)
	}
	var lines int
	if _, err := fmt.Sscan(out.String(), &lines); err != nil || lines < l.of.procs {
		return fmt.Errorf("ps shows %q rows of %d processes: %s", strings.TrimSpace(out.String()), l.of.procs, &complaint)
	}
	return nil
}

// typed prints ps-typed-cold and -warm: the whole command, as it is typed.
func (l *leaf) typed(ctx context.Context, who requester.Requester) error {
	var natives, colds, warms []time.Duration
	for range l.of.rounds {
		n, err := l.onNode(ctx, who, runPS)
		if err != nil {
			return err
		}
		natives = append(natives, n)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(serverExpired):
		}
		for _, times := range []*[]time.Duration{&colds, &warms} {
			limited, cancel := context.WithTimeout(ctx, commandLimit)
			start := time.Now()
			err := quiet(limited, who.Aggrfs(limited, "exec", "--server", l.address, "--nodes", "n1", "--", "ps", "-ef"))
			*times = append(*times, time.Since(start))
			cancel()
			if err != nil {
				return fmt.Errorf("ps-typed: %w", err)
			}
		}
	}
	figures.Print(lineOf("ps-typed-cold", who), figures.Median(colds), figures.Median(natives))
	figures.Print(lineOf("ps-typed-warm", who), figures.Median(warms), figures.Median(natives))
	return nil
}

// mounted prints ps-shell-mount of each requester, on a mount for all users. Its links lead to
// /proc, where ps would have to have it, so that ps itself cannot be run on it: what is compared
// are its reads (reader.go), on either side by the same program.
func (l *leaf) mounted(ctx context.Context, all ...requester.Requester) (err error) {
	dir := filepath.Join(l.dir, "global")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	text, err := os.ReadFile(self)
	if err != nil {
		return err
	}
	// The node has a /run of its own.
	here, there := filepath.Join(l.dir, "reader"), "/run/reader"
	for _, path := range []string{here, filepath.Join(l.node.Root, there)} {
		if err := errors.Join(os.WriteFile(path, text, 0o755), os.Chmod(path, 0o755)); err != nil {
			return err
		}
	}
	mount := l.programs.Root().Aggrfs(ctx, "mount", "--server", l.address, "--allow-other", "--nodes", "n1", "--log-level", "error", dir)
	mount.Stderr = os.Stderr
	if err := mount.Start(); err != nil {
		return err
	}
	defer func() {
		_ = mount.Process.Signal(syscall.SIGTERM)
		kill := time.AfterFunc(commandLimit, func() { mount.Process.Kill() })
		defer kill.Stop()
		err = errors.Join(err, mount.Wait())
		requester.Finish(mount)
		_ = unix.Unmount(dir, unix.MNT_DETACH) // EINVAL: it is not there, as it must be
	}()
	err = wait.Poll(ctx, func() error {
		ctx, cancel := context.WithTimeout(ctx, tryLimit)
		defer cancel()
		return quiet(ctx, requester.Bounded(ctx, "test", "-e", filepath.Join(dir, "cluster/nodes")))
	})
	if err != nil {
		return fmt.Errorf("aggrfs mount: %w", err)
	}
	for _, who := range all {
		in := func(ctx context.Context, pause time.Duration) *exec.Cmd {
			return requester.Bounded(ctx, who.As(here, "read", dir, pause.String(), fmt.Sprint(l.of.procs), "2")...)
		}
		native := func(ctx context.Context) (time.Duration, error) {
			times, err := seconds(l.node.Command(ctx, who.As(there, "read", "/proc", "0s", fmt.Sprint(l.of.procs), "1")...))
			if err != nil {
				return 0, err
			}
			return times[0], nil
		}
		if err := l.compare(ctx, who, "ps-shell-mount", native, in, 2); err != nil {
			return fmt.Errorf("%s: ps-shell-mount: %w", who.Name, err)
		}
	}
	return nil
}
