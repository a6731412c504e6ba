package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/aggrfs/aggrfs/test/cluster"
	"github.com/aggrfs/aggrfs/test/figures"
)

// psCache is the cache time that is configured for this figure.
const psCache = 10 * time.Second

// psStale is longer than the default policy keeps what ps shows.
const psStale = 1500 * time.Millisecond

// timePS runs "ps -ef" and prints what it took, in seconds, as bash times it.
const timePS = `TIMEFORMAT=%R; time ps -ef >/dev/null`

// psMount compares "ps -ef" as root on the FUSE mount of one remote leaf with
// 5,000 processes, without a server, with the same ps on that node's own /proc:
// ps-mount-cold with nothing held anywhere, ps-mount-warm a second run. They are on one CPU,
// as aggrfs exec runs ps by itself; ps-spread-* are the same where the scheduler has all of
// them.
func psMount(ctx context.Context, of size) (err error) {
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
	defer os.RemoveAll(dir)
	config, policy := filepath.Join(dir, "aggrfs.yaml"), filepath.Join(dir, "policy.yaml")
	if err := os.WriteFile(policy, []byte(psPolicy(psCache)), 0o600); err != nil {
		return err
	}
	text := fmt.Sprintf("version: 1\nhead: head\nstate: %s/gpids.json\npolicy: %s\ntimeouts: {sweep: 5s}\nnodes: [{nodes: n1, address: %q}]\n",
		dir, policy, c.Nodes[0].Address)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return err
	}
	native := func() (time.Duration, error) {
		times, err := seconds(c.Nodes[0].Command(ctx, "bash", "-c", timePS))
		if err != nil {
			return 0, err
		}
		return times[0], nil
	}
	if _, err := native(); err != nil { // the first run finds nothing in the kernel's caches
		return err
	}
	if err := psFigures(ctx, of, "ps-mount", native, "--one-cpu", "--config", config); err != nil {
		return err
	}
	if err := psFigures(ctx, of, "ps-spread", native, "--config", config); err != nil {
		return err
	}
	// By the default policy, with stale content.
	plain := filepath.Join(dir, "plain.yaml")
	if err := os.WriteFile(plain, []byte(strings.Replace(text, "policy: "+policy+"\n", "", 1)), 0o600); err != nil {
		return err
	}
	return psNative(ctx, of, native, plain)
}

// psPolicy is a policy that keeps what ps, pgrep and pidof read for so long: which files
// is as in the default policy.
func psPolicy(cache time.Duration) string {
	return fmt.Sprintf("version: 1\nrules:\n  - {match: \"<pid>/{stat,statm,status,cmdline}\", cache: %[1]s, prefetch: true}\n  - {match: \"<pid>/{environ,cgroup,exe}\", cache: %[1]s, negative: %[1]s}\n", cache)
}

// psNative compares "aggrfs ps" of the node, from connecting to the end, with ps -ef
// there. The ratio is theirs / ours.
func psNative(ctx context.Context, of size, native func() (time.Duration, error), config string) error {
	var ours, natives []time.Duration
	for range of.rounds {
		n, err := native()
		if err != nil {
			return err
		}
		time.Sleep(psStale)
		start := time.Now()
		cmd := exec.CommandContext(ctx, "bin/aggrfs", "ps", "-ef", "--config", config, "--nodes", "n1")
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		took := time.Since(start)
		if err != nil {
			return err
		}
		if lines := bytes.Count(out, []byte("\n")); lines < of.procs {
			return fmt.Errorf("aggrfs ps shows %d lines", lines)
		}
		ours, natives = append(ours, took), append(natives, n)
	}
	a, b := figures.Median(ours), figures.Median(natives)
	fmt.Printf("ps-native ours=%s against=%s ratio=%.2f\n", figures.Readable(a), figures.Readable(b), b.Seconds()/a.Seconds())
	return nil
}

// psFigures prints NAME-cold and NAME-warm for aggrfs exec with those flags.
func psFigures(ctx context.Context, of size, name string, native func() (time.Duration, error), flags ...string) error {
	var natives, colds, warms []time.Duration
	for range of.rounds {
		n, err := native()
		if err != nil {
			return err
		}
		// Starting may have swept: what that brought has expired after the sleep.
		script := fmt.Sprintf("sleep %g; %s; %s", (psCache + 200*time.Millisecond).Seconds(), timePS, timePS)
		argv := append(append([]string{"exec"}, flags...), "--nodes", "n1", "--", "bash", "-c", script)
		times, err := seconds(exec.CommandContext(ctx, "bin/aggrfs", argv...))
		if err != nil {
			return err
		}
		natives, colds, warms = append(natives, n), append(colds, times[0]), append(warms, times[1])
	}
	figures.Print(name+"-cold", figures.Median(colds), figures.Median(natives))
	figures.Print(name+"-warm", figures.Median(warms), figures.Median(natives))
	return nil
}

// seconds runs a command that prints times to stderr, one a line.
func seconds(cmd *exec.Cmd) ([]time.Duration, error) {
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%v: %w: %s", cmd.Args, err, &stderr)
	}
	var out []time.Duration
	for _, f := range strings.Fields(stderr.String()) {
		s, err := strconv.ParseFloat(f, 64)
		if err != nil {
			return nil, fmt.Errorf("%v: unexpected output %q", cmd.Args, &stderr)
		}
		out = append(out, time.Duration(s*float64(time.Second)))
	}
	return out, nil
}
