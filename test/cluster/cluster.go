package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
)

// A Cluster is a number of running nodes.
type Cluster struct {
	Dir   string // its own directory
	Nodes []*Node
}

// Start starts the nodes. On an error nothing is left behind. The context
// bounds the start, not the life of the nodes.
func Start(ctx context.Context, o Options) (*Cluster, error) {
	if o.Workload == nil {
		o.Workload = DefaultWorkload
	}
	procsrv, err := filepath.Abs(o.ProcsrvPath)
	if err != nil {
		return nil, err
	}
	o.ProcsrvPath = procsrv
	if _, err := os.Stat(procsrv); err != nil {
		return nil, fmt.Errorf("no procsrv to start, build it first (go build ./cmd/procsrv): %w", err)
	}
	dir, err := os.MkdirTemp(o.Dir, "aggrfs-nodes-")
	if err != nil {
		return nil, err
	}
	c := &Cluster{Dir: dir}
	if err := c.start(ctx, o); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// BuildInit builds nodeinit, for a caller that starts many clusters ([Options]).
func BuildInit(ctx context.Context, path string) error {
	build := exec.CommandContext(ctx, "go", "build", "-o", path, "github.com/aggrfs/aggrfs/test/cluster/nodeinit")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build nodeinit: %w: %s", err, out)
	}
	return nil
}

func (c *Cluster) start(ctx context.Context, o Options) error {
	if err := os.Chmod(c.Dir, 0o755); err != nil {
		return err
	}
	init := filepath.Join(c.Dir, "nodeinit")
	if o.InitPath == "" {
		if err := BuildInit(ctx, init); err != nil {
			return err
		}
	} else if program, err := os.ReadFile(o.InitPath); err != nil {
		return err
	} else if err := os.WriteFile(init, program, 0o755); err != nil {
		return err
	}
	errs := make([]error, o.Nodes)
	c.Nodes = make([]*Node, o.Nodes)
	var all sync.WaitGroup
	for i := range c.Nodes {
		all.Go(func() { c.Nodes[i], errs[i] = startNode(ctx, c.Dir, init, i, o) })
	}
	all.Wait()
	return errors.Join(errs...)
}

// Close takes everything down and removes the directory. It may be called
// again.
func (c *Cluster) Close() error {
	errs := make([]error, len(c.Nodes))
	var all sync.WaitGroup
	for i, n := range c.Nodes {
		if n != nil {
			all.Go(func() { errs[i] = n.end() })
		}
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return removeTree(c.Dir)
}

// removeTree removes a directory unless something is mounted below it: what is
// bound there must not be removed.
func removeTree(dir string) error {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	if strings.Contains(string(mounts), " "+dir+"/") {
		return fmt.Errorf("something is mounted below %s: unmount it and remove the directory", dir)
	}
	return os.RemoveAll(dir)
}
