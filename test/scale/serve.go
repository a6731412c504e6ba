package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/aggrfs/aggrfs/test/requester"
	"github.com/aggrfs/aggrfs/test/wait"
)

const (
	// collectDeadline is how long a server has for a collection.
	collectDeadline = time.Minute
	// readyDeadline is how long a server has until it knows all processes of all nodes.
	readyDeadline = 3 * time.Minute
)

// served are simulated nodes with a running aggrfs serve in front of them.
type served struct {
	*simulated
	address   string
	programs  *requester.Programs
	cmd       *exec.Cmd
	over      chan struct{} // closed when the server has ended
	collected chan struct{} // the server has collected its garbage
}

// serve starts simulated nodes, and a server whose garbage can be collected. The user of package
// requester sees all processes of the first quarter of the nodes.
func serve(ctx context.Context, nodes, procs int) (v *served, err error) {
	s, err := simulate(ctx, nodes, procs, 0)
	if err != nil {
		return nil, err
	}
	v = &served{simulated: s, address: "unix:" + filepath.Join(s.dir, "aggrfs.sock"), over: make(chan struct{}), collected: make(chan struct{}, 1)}
	defer func() {
		if err != nil {
			err = errors.Join(err, v.close())
		}
	}()
	if v.programs, err = requester.Install(s.dir, "bin"); err != nil {
		return v, err
	}
	program, err := buildCollecting(ctx, s.dir)
	if err != nil {
		return v, err
	}
	config := filepath.Join(s.dir, "aggrfs.yaml")
	if err := os.WriteFile(config, []byte(v.config()), 0o600); err != nil {
		return v, err
	}
	v.cmd = requester.Bounded(ctx, program, "serve", "--config", config, "--log-level", "error")
	stderr, theirs, err := os.Pipe()
	if err != nil {
		return v, err
	}
	v.cmd.Stderr = theirs
	err = v.cmd.Start()
	theirs.Close()
	if err != nil {
		stderr.Close()
		v.cmd = nil
		return v, err
	}
	go v.listen(stderr)
	return v, v.ready(ctx)
}

// config is the server's: nodes that a busy machine makes late are waited for.
func (v *served) config() string {
	var b strings.Builder
	fmt.Fprintf(&b, "version: 1\nlisten: [%q]\nhead: head\nstate: %s/gpids.json\ngpids: paged\n", v.address, v.dir)
	fmt.Fprint(&b, "timeouts: {connect: 50s, read: 50s, sweep: 50s}\n")
	fmt.Fprintf(&b, "views: [{users: \"%d\", nodes: \"%s\", processes: all}]\nnodes:\n", requester.UID, v.nodeset(v.quarter()))
	for _, name := range v.names {
		fmt.Fprintf(&b, "  - {nodes: %s, address: %q}\n", name, v.simulated.address(name))
	}
	return b.String()
}

// quarter is how many nodes the user sees: those at the front.
func (v *served) quarter() int { return max(1, len(v.names)/4) }

// nodeset is the first so many nodes.
func (v *served) nodeset(nodes int) string { return fmt.Sprintf("n[0001-%04d]", nodes) }

// buildCollecting builds aggrfs with testdata/collect.go.txt in it.
func buildCollecting(ctx context.Context, dir string) (program string, err error) {
	here, err := filepath.Abs(".")
	if err != nil {
		return "", err
	}
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {
		filepath.Join(here, "cmd/aggrfs/collect.go"): filepath.Join(here, "test/scale/testdata/collect.go.txt"),
	}})
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(file, overlay, 0o600); err != nil {
		return "", err
	}
	program = filepath.Join(dir, "aggrfs-collecting")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-overlay", file, "-o", program, "./cmd/aggrfs")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build aggrfs: %w: %s", err, out)
	}
	return program, nil
}

// listen passes on what the server says, but for the word that it has collected.
func (v *served) listen(stderr io.ReadCloser) {
	defer close(v.over)
	defer stderr.Close()
	for in := bufio.NewScanner(stderr); in.Scan(); {
		if in.Text() != "collected" {
			fmt.Fprintln(os.Stderr, "aggrfs serve:", in.Text())
			continue
		}
		select {
		case v.collected <- struct{}{}:
		default:
		}
	}
}

// ready waits until the server shows all nodes' processes.
func (v *served) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyDeadline)
	defer cancel()
	return wait.Poll(ctx, func() error {
		out, err := v.ask(ctx, "ps", "--strict", "--limit", "1")
		if err != nil {
			return fmt.Errorf("aggrfs serve: %w: %s", err, out)
		}
		return nil
	})
}

// ask is the output of a command of root's that asks the server.
func (v *served) ask(ctx context.Context, name string, args ...string) (string, error) {
	var out, complaint strings.Builder
	cmd := v.programs.Root().Aggrfs(ctx, append([]string{name, "--server", v.address}, args...)...)
	cmd.Stdout, cmd.Stderr = &out, &complaint
	defer requester.Finish(cmd)
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("aggrfs %s: %w: %s", name, err, strings.TrimSpace(complaint.String()))
	}
	return out.String(), nil
}

// rss is what the server has resident, in bytes, once its garbage has been collected.
func (v *served) rss(ctx context.Context) (uint64, error) {
	select {
	case <-v.collected: // of an earlier time
	default:
	}
	if err := v.cmd.Process.Signal(syscall.SIGUSR2); err != nil {
		return 0, err
	}
	select {
	case <-v.collected:
	case <-v.over:
		return 0, errors.New("aggrfs serve has ended")
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-time.After(collectDeadline):
		return 0, fmt.Errorf("aggrfs serve has not collected its garbage in %v", collectDeadline)
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", v.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(status), "\nVmRSS:")
	var kib uint64
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		return 0, err
	}
	return kib << 10, nil
}

// close ends the server and the nodes.
func (v *served) close() error {
	var errs []error
	if v.cmd != nil {
		_ = v.cmd.Process.Signal(syscall.SIGTERM)
		kill := time.AfterFunc(collectDeadline, func() { v.cmd.Process.Kill() })
		errs = append(errs, v.cmd.Wait())
		kill.Stop()
		requester.Finish(v.cmd)
		select {
		case <-v.over:
		case <-time.After(collectDeadline):
			errs = append(errs, errors.New("something that aggrfs serve started has not ended"))
		}
	}
	if v.programs != nil {
		errs = append(errs, v.programs.Close())
	}
	return errors.Join(append(errs, v.simulated.close())...)
}
