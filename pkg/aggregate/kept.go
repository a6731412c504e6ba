package aggregate

import (
	"context"
	"errors"
	"strings"
	"syscall"

	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/cachepolicy"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// kept is the key of a file that the policy lets be held beside the tables, as it
// is read for its viewer; not ok if it is never held, or if it is not known yet
// which boot of the node it is of.
func (r *remote) kept() (key cachepolicy.Key, ok bool) { return r.keptOf(r.n.clock.Load()) }

// keptOf is kept on a certain boot of the node; nil is that it is not known.
func (r *remote) keptOf(k *clock) (key cachepolicy.Key, ok bool) {
	if r.n.store == nil || k == nil || len(r.path) == 0 {
		return key, false
	}
	path := strings.Join(r.path, "/")
	rule := r.n.store.Policy().Rule(string(r.n.name), path)
	if rule.Cache == cachepolicy.Never && rule.Negative == 0 {
		return key, false
	}
	key = cachepolicy.Key{Process: cachepolicy.Process{Node: string(r.n.name), Boot: k.bootID}, Path: path, Reader: r.v.identity().Key()}
	if r.proc != nil {
		key.Process = r.proc.kept(k.bootID)
		key.Path = path[len(r.path[0])+1:]
	}
	return key, true
}

// kept is the process as the store knows it.
func (p *process) kept(boot string) cachepolicy.Process {
	return cachepolicy.Process{Node: string(p.n.name), Boot: boot, PID: int(p.pid), Start: p.leaf}
}

// readKept is what is held under that key. What is not held comes with that of all
// other processes, if r is one in a row, or is what one brings.
func (r *remote) readKept(ctx context.Context, key cachepolicy.Key, one cachepolicy.Fetch) (cachepolicy.Value, error) {
	return r.n.store.Read(ctx, key, func(ctx context.Context) ([]byte, error) {
		if content, err, ok := r.brought(r.readAhead(ctx)); ok {
			return content, err
		}
		return one(ctx)
	})
}

// openKept opens a file of that key: as it is held, or as the node gives it now.
func (f *remoteFile) openKept(ctx context.Context, key cachepolicy.Key) (vfs.Handle, error) {
	v, err := f.readKept(ctx, key, func(ctx context.Context) (raw []byte, err error) {
		err = f.exchange(ctx, func(ctx context.Context, h vfs.Handle) error {
			defer h.Close()
			raw, err = vfs.ReadAll(ctx, h, maxRewrite)
			return err
		})
		return raw, err
	})
	switch {
	case errors.Is(err, syscall.EFBIG):
		return f.openNow(ctx) // read in pieces, held nowhere
	case err != nil:
		return nil, err
	}
	if v.Stale {
		f.n.stale.Store(f.n.now().UnixNano())
	}
	content := v.Content
	if f.proc != nil {
		content, err = f.rewriteRead(ctx, f.n.now().Add(-v.Age), f.path[1:], content)
	} else if len(f.path) == 1 {
		content, err = f.n.limit(ctx, f.v, f.path[0], content)
	}
	if err != nil {
		return nil, err
	}
	return vfs.NewBytes(content, v.Keep), nil
}

// dropEnded lets go what is held of the processes of one table that a newer one has
// no more.
func (n *node) dropEnded(before, after *table) {
	k := n.clock.Load()
	if n.store == nil || before == nil || k == nil {
		return
	}
	at, follows := 0, !before.orphan && after.Since(before.Generation())
	for i, pid := range before.PIDs() {
		for at < after.Len() && after.PID(at) < pid {
			at++
		}
		there := at < after.Len() && after.PID(at) == pid
		if there && follows && !after.Changed(at, before.Generation()) {
			continue
		}
		if id := before.ID(i); !there || after.ID(at) != id {
			n.store.DropProcess(newProcess(n, gpid.PID(pid), id, before.UID(i)).kept(k.bootID))
		}
	}
}

// SetPolicy puts another cache policy in force, for what is held already, too.
func (c *Cluster) SetPolicy(p *cachepolicy.Policy) {
	c.store.SetPolicy(p)
	for _, n := range c.nodes {
		n.cgroups.drop()
	}
}
