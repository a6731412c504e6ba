package fusefs

import (
	"context"
	"fmt"
	"hash/fnv"
	"io"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/aggrfs/aggrfs/pkg/vfs"
	"github.com/hanwen/go-fuse/v2/fuse"
	lru "github.com/hashicorp/golang-lru/v2"
)

const (
	// maxViewers is how many identities' roots a shared mount holds.
	maxViewers = 1024
	// attachTime is how long one is held before Attach is asked again, so
	// that rights which were taken away end.
	attachTime = 10 * time.Second
	// maxViews is how many identities' nodes an inode holds; another one's is
	// found again by its path.
	maxViews = 8
)

// A viewer is one identity and the root of its tree.
type viewer struct {
	root   vfs.Node
	until  time.Time
	mark   uint64  // a hash of the identity; 0 where there is one only
	shares *shares // that what they use counts in
}

// viewers finds the viewer of a request. In a mount that is not shared it is
// always the same: sole.
type viewers struct {
	cfg  Config
	paid *payers
	sole *viewer
	held *lru.Cache[string, *viewer]
}

func newViewers(cfg Config, paid *payers) (*viewers, error) {
	v := &viewers{cfg: cfg, paid: paid}
	if cfg.Shared {
		var err error
		v.held, err = lru.New[string, *viewer](maxViewers)
		return v, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), cfg.Deadline)
	defer cancel()
	root, err := cfg.Attach(ctx, cfg.Owner)
	if err != nil {
		return nil, fmt.Errorf("attach for uid %d: %w", cfg.Owner.UID, err)
	}
	v.sole = &viewer{root: root, shares: paid.shares(cfg.Owner)}
	return v, nil
}

// of is who makes a request. Its groups are asked for every time: a thread's
// number is soon another's.
func (v *viewers) of(ctx context.Context, h *fuse.InHeader) (*viewer, error) {
	if v.sole != nil {
		return v.sole, nil
	}
	who := vfs.Identity{UID: h.Uid, GID: h.Gid}
	if who.IsRoot() {
		who = vfs.Root // whose groups are of no matter
	} else {
		groups, err := v.groups(h.Pid)
		if err != nil {
			return nil, err
		}
		slices.Sort(groups)
		groups = slices.DeleteFunc(slices.Compact(groups), func(g uint32) bool { return g == h.Gid })
		who.Groups = slices.Clip(groups)
	}
	key, now := who.Key(), time.Now()
	if found, ok := v.held.Get(key); ok && now.Before(found.until) {
		return found, nil
	}
	root, err := v.cfg.Attach(ctx, who)
	if err != nil {
		return nil, err
	}
	hash := fnv.New64a()
	_, _ = io.WriteString(hash, key)
	fresh := &viewer{root: root, until: now.Add(attachTime), mark: hash.Sum64(), shares: v.paid.shares(who)}
	v.held.Add(key, fresh)
	return fresh, nil
}

// groups are the supplementary groups of a thread. Thread 0 is one that this process cannot
// see; it has no further groups here, and neither has any where threads are not known.
func (v *viewers) groups(tid uint32) ([]uint32, error) {
	if tid == 0 || v.cfg.NoThreads {
		return nil, nil
	}
	groups, err := v.cfg.Groups(tid)
	if err != nil {
		return nil, fmt.Errorf("groups of thread %d: %w", tid, err)
	}
	return groups, nil
}

// views are the nodes of one inode, as each viewer sees it.
type views struct {
	mu    sync.Mutex
	sole  vfs.Node // in a mount that is not shared
	nodes []view   // in one that is: the newest last, at most maxViews
}

type view struct {
	viewer *viewer
	node   vfs.Node
}

// put keeps the newest node: it may know more than an older one. Those of
// viewers whose time is over go: nobody asks as them any more.
func (i *inode) put(v *viewer, shared bool, n vfs.Node) {
	i.views.mu.Lock()
	defer i.views.mu.Unlock()
	if !shared {
		i.views.sole = n
		return
	}
	now := time.Now()
	nodes := slices.DeleteFunc(i.views.nodes, func(w view) bool { return w.viewer == v || now.After(w.viewer.until) })
	if len(nodes) >= maxViews {
		nodes = slices.Delete(nodes, 0, 1)
	}
	i.views.nodes = append(nodes, view{v, n})
}

// node is the object of i as v sees it.
func (i *inode) node(ctx context.Context, v *viewer, shared bool) (vfs.Node, error) {
	if i.parent == nil {
		return v.root, nil
	}
	i.views.mu.Lock()
	n := i.views.sole
	for _, w := range i.views.nodes {
		if w.viewer == v {
			n = w.node
		}
	}
	i.views.mu.Unlock()
	if n != nil {
		return n, nil
	}
	root, ok := v.root.(vfs.Dir)
	if !ok {
		return nil, syscall.ENOTDIR
	}
	n, _, err := vfs.WalkPath(ctx, root, i.path()...)
	if err != nil {
		return nil, err
	}
	if n.ID() != i.object && !i.stays {
		return nil, syscall.ENOENT // the name means another object now
	}
	i.put(v, shared, n)
	return n, nil
}
