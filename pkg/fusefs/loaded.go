package fusefs

import (
	"context"
	"sync"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// A loaded is what the kernel was told of a file, or will be when it asks.
type loaded struct {
	mu      sync.Mutex
	there   bool
	content []byte
	attr    vfs.Attr
	state   uint64 // of the file, where stated
	stated  bool
}

// is reports whether the kernel was told of a file in that state.
func (l *loaded) is(state uint64, stated bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.there && stated && l.stated && l.state == state
}

// stateOf is the file's state before it is looked at: what changes meanwhile is found
// by the next look.
func stateOf(n vfs.Node) (state uint64, stated bool) {
	if s, ok := n.(vfs.Stater); ok {
		return s.State()
	}
	return 0, false
}

// load reads a file for the kernel.
func (p *prefetched) load(ctx context.Context, i *inode, file vfs.File) error {
	state, stated := stateOf(file)
	h, err := file.Open(ctx)
	if err != nil {
		return err
	}
	defer h.Close()
	content, err := vfs.ReadAll(ctx, h, maxPrefetched)
	if err != nil {
		return err
	}
	a, err := entryAttr(ctx, file)
	if err != nil {
		return err
	}
	a.Size = uint64(len(content))
	i.loaded.mu.Lock()
	i.loaded.there, i.loaded.content, i.loaded.attr = true, content, a
	i.loaded.state, i.loaded.stated = state, stated
	i.loaded.mu.Unlock()
	return nil
}

// forget returns what the kernel was told, if anything.
func (l *loaded) forget() (told bool, content []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	told, content = l.there, l.content
	l.there, l.content, l.attr, l.stated = false, nil, vfs.Attr{}, false
	return told, content
}

// get is what the kernel was told, loading it if need be.
func (p *prefetched) get(ctx context.Context, i *inode, n vfs.Node) (content []byte, a vfs.Attr, err error) {
	for range 2 {
		i.loaded.mu.Lock()
		there := i.loaded.there
		content, a = i.loaded.content, i.loaded.attr
		i.loaded.mu.Unlock()
		if there {
			return content, a, nil
		}
		file, ok := n.(vfs.File)
		if !ok {
			break
		}
		if err := p.load(ctx, i, file); err != nil {
			p.fs.pruner.ended(i, err)
			return nil, a, err
		}
	}
	return nil, a, vfs.Missing{}
}
