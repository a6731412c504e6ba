package aggregate

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/aggrfs/aggrfs/pkg/aggregate/sums"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// maxSumPart bounds one node's part of a file that is a sum, in bytes: the
// cpuinfo of 2,048 processors is 3 MiB.
const maxSumPart = 16 << 20

// newSumFile makes the root file of that name out of those of the view's nodes.
func newSumFile(v *view, name string, id uint64) vfs.Node {
	return &madeFile{made: v.c.made, id: id, content: func(ctx context.Context) ([]byte, error) {
		parts := v.gather(ctx, name)
		if len(parts) == 0 && len(v.nodes()) > 0 {
			return nil, fmt.Errorf("no node has answered: %w", syscall.EHOSTDOWN) // and not that all is 0
		}
		return sums.For(name)(parts, v.sumReader()), nil
	}}
}

// gather reads one root file on all nodes of the view at once. Of a node that has not
// answered by the sweep's deadline what the policy lets be shown still is in the sum, and
// in any case what it had counted; see sums.Counters.
func (v *view) gather(ctx context.Context, name string) []sums.Part {
	nodes := v.nodes()
	read := eachNode(ctx, nodes, func(ctx context.Context, n *node) sums.Part { return v.sumPart(ctx, n, name) })
	var parts []sums.Part
	for i, n := range nodes {
		if p := read[i]; p.Text != nil {
			p.Node, p.Index = string(n.name), n.index
			parts = append(parts, p)
		}
	}
	return parts
}

// sumPart is one node's part of a sum, without a text where it has none.
func (v *view) sumPart(ctx context.Context, n *node, name string) (p sums.Part) {
	w, err := v.wideFile(ctx, n, name)
	p.Text, p.Hz = w.text, w.hz
	if c := n.counters[name]; c != nil {
		seen := summed{n, name}
		switch {
		case p.Text != nil:
			p.Text, p.Hz = c.Add(w.boot, p.Text, w.hz, v.host.hz, n.now()), v.host.hz
			v.c.sumReaders.note(v.who.Key(), seen, n.now())
		case refused(err):
			v.c.sumReaders.forget(v.who.Key(), seen)
		case v.c.sumReaders.has(v.who.Key(), seen, n.now()):
			p.Text, p.Hz = c.Last(), v.host.hz
		}
	}
	if !refused(err) && (err != nil || w.old) {
		n.missed.Add(1)
	}
	if p.Text != nil {
		limited, err := n.limit(ctx, v, name, p.Text)
		if err != nil { // how many processes there are is not known
			limited = sums.Limit(name, p.Text, sums.Counts{})
		}
		p.Text = limited
	}
	return p
}

// refused reports whether an error is what the node answered to who may not have a
// file, or of a file that it has not.
func refused(err error) bool {
	switch vfs.Errno(err) {
	case syscall.EACCES, syscall.EPERM, syscall.ENOENT:
		return true
	}
	return false
}

// A wideText is a root file of a node.
type wideText struct {
	text []byte // nil is none
	boot string // of the node, "" is not known
	hz   int64  // the node's USER_HZ
	old  bool   // it is what was held, since the node did not answer
}

// wideFile is a root file of the node as v's identity reads it, or what is held of it
// where the node does not answer.
func (v *view) wideFile(ctx context.Context, n *node, name string) (w wideText, err error) {
	k := n.clock.Load()
	connected := n.upstream() != nil
	switch {
	case k == nil && !connected:
		k = n.clocks.last()
	case k == nil:
		// Who reads nothing but sums never sweeps. Without the node's boot nothing of it
		// can be held: the next read knows it.
		n.startFetch(n.policy().Table() / 2)
	}
	if w.hz = v.c.host.hz; k != nil {
		w.boot, w.hz = k.bootID, int64(k.facts.Hz)
	}
	one := func(ctx context.Context) (text []byte, err error) {
		err = n.call(ctx, v.who, func(ctx context.Context, root vfs.Dir) error {
			if text, err = vfs.ReadFile(ctx, root, maxSumPart, name); err != nil || k != nil {
				return err
			}
			// No sweep has told yet which boot it is.
			id, err := vfs.ReadFile(ctx, root, maxBootID, "sys", "kernel", "random", "boot_id")
			if err == nil {
				w.boot = strings.TrimSpace(string(id))
			}
			return ctx.Err()
		})
		if err == nil && k != nil && n.clock.Load() != k {
			err = fmt.Errorf("node %s: the connection was made anew: %w", n.name, syscall.EHOSTDOWN)
		}
		return text, err
	}
	r := remote{n: n, v: v, path: []string{name}}
	key, ok := r.keptOf(k)
	if !ok {
		w.text, err = one(ctx) // why not is in the node's health
		return w, err
	}
	held, err := n.store.Read(ctx, key, one)
	if err != nil && !refused(err) {
		if held, ok = n.store.Stale(key); ok {
			err = nil
		}
	}
	if err != nil {
		return w, err
	}
	if held.Stale {
		w.old = true
		n.stale.Store(n.now().UnixNano())
	}
	w.text = held.Content
	return w, nil
}

// maxBootID bounds a node's boot id, in bytes; a kernel's has 36.
const maxBootID = 128

// sumReader is the reader's part of the files that are sums.
func (v *view) sumReader() sums.Reader {
	c := v.c
	r := sums.Reader{BootTime: v.host.boot.Unix(), Hz: v.host.hz}
	raw, err := os.ReadFile(c.cfg.Proc + "/stat")
	if err != nil {
		return r
	}
	if _, line, ok := bytes.Cut(raw, []byte("\nbtime ")); ok {
		line, _, _ = bytes.Cut(line, []byte("\n"))
		if n, err := strconv.ParseInt(string(line), 10, 64); err == nil {
			r.BootTime = n - int64(c.host.boot.Sub(v.host.boot)/time.Second)
		}
	}
	return r
}
