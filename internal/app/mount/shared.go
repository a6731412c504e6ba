package mount

import (
	"context"
	"sync"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/aggrfs/aggrfs/internal/app/client"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// maxShared is how many users' trees a shared mount holds.
const maxShared = 1024

// A sharedTree is one source as each of many users sees it.
type sharedTree struct {
	open func(ctx context.Context, who vfs.Identity) (*client.Tree, error)

	mu     sync.Mutex
	closed bool                             // guarded by mu
	trees  *lru.Cache[string, *client.Tree] // by identity; guarded by mu
	ending sync.WaitGroup                   // trees that are being closed
}

func newSharedTree(open func(context.Context, vfs.Identity) (*client.Tree, error)) *sharedTree {
	s := &sharedTree{open: open}
	s.trees, _ = lru.NewWithEvict(maxShared, func(_ string, t *client.Tree) { // fails for a size below 1 only
		s.ending.Go(func() { t.Close() })
	})
	return s
}

// root is the root of the tree as who sees it.
func (s *sharedTree) root(ctx context.Context, who vfs.Identity) (vfs.Node, error) {
	if who.IsRoot() {
		who = vfs.Root
	}
	key := who.Key()
	s.mu.Lock()
	t, ok := s.trees.Get(key)
	s.mu.Unlock()
	if !ok {
		fresh, err := s.open(ctx, who)
		if err != nil {
			return nil, err
		}
		t = s.keep(key, fresh)
	}
	return t.Root(ctx)
}

// keep holds a tree that was just opened, unless another was opened meanwhile.
func (s *sharedTree) keep(key string, fresh *client.Tree) *client.Tree {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t, ok := s.trees.Get(key); ok || s.closed {
		s.ending.Go(func() { fresh.Close() })
		if ok {
			return t
		}
		return fresh // whose use fails
	}
	s.trees.Add(key, fresh)
	return fresh
}

// Close closes all trees.
func (s *sharedTree) Close() error {
	s.mu.Lock()
	s.closed = true
	s.trees.Purge()
	s.mu.Unlock()
	s.ending.Wait()
	return nil
}
