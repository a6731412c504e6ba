package procsim

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"

	"github.com/aggrfs/aggrfs/pkg/ninep"
)

// A Cluster is a number of nodes that are served.
type Cluster struct {
	Nodes []*Node

	dir    string
	relays []*relay // of the nodes that can fail
	stop   context.CancelFunc
	work   sync.WaitGroup
	life   *life // nil: none
}

// Serve makes a node of each name and serves it on the unix socket NAME.sock in dir, to
// this process's user, or for root to all. The last faulty of them can be made to fail.
func Serve(dir string, names []string, seed uint64, processes, faulty int) (*Cluster, error) {
	ctx, stop := context.WithCancel(context.Background())
	c := &Cluster{dir: dir, stop: stop}
	for i, name := range names {
		n := NewNode(name, seed, processes)
		c.Nodes = append(c.Nodes, n)
		path := c.socket(name)
		if i >= len(names)-faulty {
			r, err := newRelay(path, path+".behind")
			if err != nil {
				return nil, errors.Join(err, c.Close())
			}
			c.relays = append(c.relays, r)
			path += ".behind"
		}
		l, err := net.Listen("unix", path)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("node %s: %w", name, err), c.Close())
		}
		server := ninep.NewServer(ninep.ServerConfig{Tree: n, Log: discard, Identify: ninep.ByCredentials})
		c.work.Go(func() { _ = server.Serve(ctx, l) })
	}
	return c, nil
}

func (c *Cluster) socket(name string) string { return filepath.Join(c.dir, name+".sock") }

// Address is where a node of that name is served.
func (c *Cluster) Address(name string) string { return "unix:" + c.socket(name) }

// Churn is Node.Churn of all nodes.
func (c *Cluster) Churn(share float64) {
	for _, n := range c.Nodes {
		n.Churn(share)
	}
}

// Fail makes the nodes that can fail do so from now on: the first so many hang, the next
// die in mid-answer, the next answer garbage, and the rest are well.
func (c *Cluster) Fail(hang, die, garbage int) {
	for i, r := range c.relays {
		switch {
		case i < hang:
			r.set(hangs)
		case i < hang+die:
			r.set(dies)
		case i < hang+die+garbage:
			r.set(raves)
		default:
			r.set(well)
		}
	}
}

// Close ends all nodes and removes their sockets.
func (c *Cluster) Close() error {
	c.Live(0)
	c.stop()
	for _, r := range c.relays {
		r.close()
	}
	c.work.Wait()
	var errs []error
	for _, n := range c.Nodes {
		n.Close()
		for _, path := range []string{c.socket(n.Name), c.socket(n.Name) + ".behind"} {
			if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}
