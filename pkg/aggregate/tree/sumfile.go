package tree

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/aggrfs/aggrfs/internal/procfile"
	"github.com/aggrfs/aggrfs/pkg/aggregate/proctable"
	"github.com/aggrfs/aggrfs/pkg/aggregate/remote"
	"github.com/aggrfs/aggrfs/pkg/aggregate/view"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// newSumFile makes the root file of that name out of those of the view's nodes.
func newSumFile(whole viewTree, name string, id uint64) vfs.Node {
	v := sumView{whole}
	return v.t.base.File(id, func(ctx context.Context) ([]byte, error) {
		parts, told := v.gather(ctx, name)
		if !told && len(v.Nodes()) > 0 {
			return nil, fmt.Errorf("no node has answered: %w", syscall.EHOSTDOWN) // and not that all is 0
		}
		return procfile.Sum(name)(parts, v.sumReader()), nil
	})
}

// A sumView makes root files of those of the view's nodes.
type sumView struct{ viewTree }

// gather reads one root file on all nodes of the view at once. Of a node that has not
// answered by the sweep's deadline what the policy lets be shown still is in the sum, and
// in any case what it had counted; see procfile.Counters. There is a part of each node, also of
// one of which nothing is known; told is that something is known of one.
func (v sumView) gather(ctx context.Context, name string) (parts []procfile.Part, told bool) {
	nodes := v.Nodes()
	parts = proctable.Each(ctx, nodes, func(ctx context.Context, n *proctable.Node) procfile.Part { return v.sumPart(ctx, n, name) })
	for i, n := range nodes {
		parts[i].Node, parts[i].Index = string(n.Name), n.Index
		told = told || parts[i].Text != nil
	}
	return parts, told
}

// sumPart is one node's part of a sum, without a text where it has none.
func (v sumView) sumPart(ctx context.Context, n *proctable.Node, name string) (p procfile.Part) {
	w, err := v.wideFile(ctx, n, name)
	p.Text, p.Hz = w.text, w.hz
	if c := v.t.counters[n][name]; c != nil {
		seen := summed{n, name}
		switch {
		case p.Text != nil:
			p.Text, p.Hz = c.Add(w.boot, p.Text, w.hz, v.Host.Hz, n.Now()), v.Host.Hz
			v.t.sumReaders.note(v.Who.Key(), seen, n.Now())
		case view.Refused(err):
			v.t.sumReaders.forget(v.Who.Key(), seen)
		case v.t.sumReaders.has(v.Who.Key(), seen, n.Now()):
			p.Text, p.Hz = c.Last(), v.Host.Hz
		}
	}
	if !view.Refused(err) && (err != nil || w.old) {
		n.Miss()
	}
	if p.Text != nil {
		limited, err := remote.Limit(ctx, n, v.View, name, p.Text)
		if err != nil { // how many processes there are is not known
			limited = procfile.Limit(name, p.Text, procfile.Counts{})
		}
		p.Text = limited
	}
	return p
}

// A wideText is a root file of a node.
type wideText struct {
	text []byte // nil is none
	boot string // of the node, "" is not known
	hz   int64  // the node's USER_HZ
	old  bool   // it is what was held, since the node did not answer
}

// wideFile is a root file of the node as v's identity reads it, or what is cached of it
// where the node does not answer.
func (v sumView) wideFile(ctx context.Context, n *proctable.Node, name string) (w wideText, err error) {
	s, k := n.Session(), n.Clock()
	connected := s.Live()
	switch {
	case k == nil && !connected:
		k = n.LastClock()
	case k == nil:
		// Who reads nothing but sums never sweeps. Without the node's boot nothing of it
		// can be held: the next read knows it.
		n.Sweep()
	}
	if w.hz = v.t.Host.Hz; k != nil {
		w.boot, w.hz = k.BootID, k.Hz()
	}
	one := func(ctx context.Context) (text []byte, err error) {
		err = n.Call(ctx, v.Who, func(ctx context.Context, root vfs.Dir) error {
			if text, err = vfs.ReadFile(ctx, root, remote.MaxRootFile, name); err != nil || k != nil {
				return err
			}
			// No sweep has told yet which boot it is.
			id, err := vfs.ReadFile(ctx, root, maxBootID, "sys", "kernel", "random", "boot_id")
			if err == nil {
				w.boot = strings.TrimSpace(string(id))
			}
			return ctx.Err()
		})
		if err == nil && k != nil && n.Session() != s {
			err = fmt.Errorf("node %s: the connection was made anew: %w", n.Name, syscall.EHOSTDOWN)
		}
		return text, err
	}
	key, ok := remote.CacheKey(n, v.View, k, nil, name)
	if !ok {
		w.text, err = one(ctx) // why not is in the node's health
		return w, err
	}
	held, err := n.Store.Read(ctx, key, one)
	if err != nil && !view.Refused(err) {
		if held, ok = n.Store.Stale(key); ok {
			err = nil
		}
	}
	if err != nil {
		return w, err
	}
	if held.Stale {
		w.old = true
		n.Stale(n.Now())
	}
	w.text = held.Content
	return w, nil
}

// maxBootID bounds a node's boot id, in bytes; a kernel's has 36.
const maxBootID = 128

// sumReader is the reader's part of the files that are sums.
func (v sumView) sumReader() procfile.Reader {
	r := procfile.Reader{BootTime: v.Host.Boot.Unix(), Hz: v.Host.Hz}
	if n := v.t.bootTime(); n != 0 {
		r.BootTime = n - int64(v.t.Host.Boot.Sub(v.Host.Boot)/time.Second)
	}
	return r
}

// A btime is that line of the head's stat file as it was a moment ago; 0 is that it is not
// known. It changes when the clock is stepped, and the file is long on a machine of many CPUs.
type btime struct {
	read    time.Time
	seconds int64
}

// bootTime is the btime of the last second.
func (t *Tree) bootTime() int64 {
	now := t.Now()
	if b := t.btime.Load(); b != nil && now.Sub(b.read) < time.Second && !now.Before(b.read) {
		return b.seconds
	}
	seconds, _ := procfile.BootTime(t.Proc)
	t.btime.Store(&btime{now, seconds})
	return seconds
}
