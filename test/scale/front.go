package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/aggrfs/aggrfs/pkg/aggregate"
	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/cachepolicy"
	"github.com/aggrfs/aggrfs/pkg/ninep"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// front is a front end of simulated nodes, the first of which is the head node.
type front struct {
	*aggregate.Cluster
	keep time.Duration
	ps   vfs.File
}

// newFront starts a front end that keeps a table for keep.
func newFront(s *simulated, keep time.Duration, t aggregate.Timeouts) (*front, error) {
	node := func(name string) aggregate.NodeConfig {
		return aggregate.NodeConfig{Name: gpid.NodeName(name), Address: s.address(name), Dial: dial(s.address(name))}
	}
	cfg := aggregate.Config{Head: node(s.names[0]), Policy: cachepolicy.Sweep(keep), Timeouts: t, Version: "scale"}
	// From nothing: without the gpids of the one before.
	dir, err := os.MkdirTemp(s.dir, "front-")
	if err != nil {
		return nil, err
	}
	var names []gpid.NodeName
	for _, name := range s.names[1:] {
		cfg.Nodes = append(cfg.Nodes, node(name))
		names = append(names, gpid.NodeName(name))
	}
	if cfg.GPIDs, err = gpid.Open(filepath.Join(dir, "gpids.json"), gpid.Paged, names); err != nil {
		return nil, err
	}
	c, err := aggregate.New(cfg)
	if err != nil {
		return nil, err
	}
	return &front{Cluster: c, keep: keep}, nil
}

func dial(address string) aggregate.Dialer {
	addr, err := ninep.ParseAddr(address)
	return func(ctx context.Context) (aggregate.Upstream, error) {
		if err != nil {
			return nil, err
		}
		var keys *ninep.TLS
		conn, err := keys.Dial(ctx, addr, "")
		if err != nil {
			return nil, err
		}
		client, err := ninep.NewClient(ctx, conn, ninep.ClientConfig{})
		if err != nil {
			return nil, err
		}
		return client, nil
	}
}

// table reads cluster/ps whole and counts its lines, the header not.
func (f *front) table(ctx context.Context) (lines int, err error) {
	if f.ps == nil {
		root, err := f.Attach(ctx, vfs.Root, "")
		if err != nil {
			return 0, err
		}
		n, _, err := vfs.WalkPath(ctx, root.(vfs.Dir), "cluster", "ps")
		if err != nil {
			return 0, err
		}
		f.ps = n.(vfs.File)
	}
	h, err := f.ps.Open(ctx)
	if err != nil {
		return 0, err
	}
	defer h.Close()
	buf := make([]byte, 1<<20)
	for off := int64(0); ; {
		n, err := h.ReadAt(ctx, buf, off)
		if err != nil {
			return 0, err
		}
		if n == 0 {
			return lines - 1, nil
		}
		off += int64(n)
		lines += bytes.Count(buf[:n], []byte("\n"))
	}
}

// whole is table, which must have that many lines.
func (f *front) whole(ctx context.Context, want int) (time.Duration, error) {
	start := time.Now()
	got, err := f.table(ctx)
	if err == nil && got != want {
		err = fmt.Errorf("cluster/ps has %d processes of %d", got, want)
	}
	return time.Since(start), err
}

// heap is the heap that is in use, in bytes. Pools are empty after two collections.
func heap() uint64 {
	runtime.GC()
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
