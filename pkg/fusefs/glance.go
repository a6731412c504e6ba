package fusefs

import (
	"context"
	"sync"
	"time"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// Glances have sizes right before a file is opened: where a file's content is at hand (it
// knows its state), it is opened when the kernel is told of the file, and the OPEN that
// follows takes what is open already, if it is soon and the state is the same. A size is known
// for as long as the state is what it was.
//
// Nil glances open a file when it is opened.
type glances struct {
	mu      sync.Mutex
	held    []*glance // open, the oldest first, at most maxGlances and a few that were taken
	expires *time.Timer
	closed  bool
	bytes   *share // of the mount's account, on which all of held is
}

const (
	// glanceTime is how soon an OPEN has to follow.
	glanceTime = time.Second
	// maxGlances is how many files of a mount are open without anybody's having asked.
	maxGlances = 1024
)

// A look is what is known of one file: the size of its content in a state.
type look struct {
	mu     sync.Mutex
	known  bool
	state  uint64
	size   uint64
	glance *glance
}

// A glance is a content that was opened and that nobody has yet.
type glance struct {
	handle vfs.Held // nil once it was taken or closed; guarded by mu of glances
	until  time.Time
}

// stateOf is the file's state before it is looked at: what changes meanwhile is found
// by the next look.
func stateOf(n vfs.Node) (state uint64, stated bool) {
	if s, ok := n.(vfs.Stater); ok {
		return s.State()
	}
	return 0, false
}

// size is the size of the content that an open of the file would get.
func (all *glances) size(ctx context.Context, i *inode, n vfs.Node) (uint64, bool) {
	if all == nil {
		return 0, false
	}
	state, stated := stateOf(n)
	file, ok := n.(vfs.File)
	if !stated || !ok {
		return 0, false
	}
	i.look.mu.Lock()
	size, known := i.look.size, i.look.known && i.look.state == state
	i.look.mu.Unlock()
	if known {
		return size, true
	}
	h, err := file.Open(ctx)
	if err != nil {
		return 0, false // who opens it is told
	}
	held, ok := h.(vfs.Held)
	if _, rpc := h.(vfs.Writer); !ok || rpc {
		_ = h.Close()
		return 0, false
	}
	size = uint64(len(held.Content()))
	g := all.keep(held, min(held.Keep(), glanceTime))
	i.look.mu.Lock()
	before := i.look.glance
	i.look.known, i.look.state, i.look.size, i.look.glance = true, state, size, g
	i.look.mu.Unlock()
	all.drop(before)
	return size, true
}

// open opens a file, or takes what is open.
func (all *glances) open(ctx context.Context, i *inode, file vfs.File) (vfs.Handle, error) {
	if all == nil {
		return file.Open(ctx)
	}
	state, stated := stateOf(file)
	i.look.mu.Lock()
	g, same := i.look.glance, stated && i.look.known && i.look.state == state
	i.look.glance = nil
	i.look.mu.Unlock()
	if same {
		if h := all.take(g); h != nil {
			return h, nil
		}
	}
	all.drop(g)
	h, err := file.Open(ctx)
	if held, ok := h.(vfs.Held); err == nil && ok && stated {
		i.look.mu.Lock()
		i.look.known, i.look.state, i.look.size = true, state, uint64(len(held.Content()))
		i.look.mu.Unlock()
	}
	return h, err
}

// keep holds a content until it is taken, dropped, or older than d; nil is one that is
// not held and was closed.
func (all *glances) keep(h vfs.Held, d time.Duration) *glance {
	g := &glance{handle: h, until: time.Now().Add(d)}
	all.mu.Lock()
	var over []vfs.Held
	if all.closed || d <= 0 || !all.bytes.take(holds(h)) {
		over, g = append(over, h), nil
	} else {
		all.held = append(all.held, g)
		over = all.trimLocked(time.Now())
		if all.expires == nil {
			all.expires = time.AfterFunc(glanceTime, all.expire)
		}
	}
	all.mu.Unlock()
	for _, h := range over {
		_ = h.Close()
	}
	return g
}

// take is the content of a glance that is good still; nil if it is not.
func (all *glances) take(g *glance) vfs.Held {
	if g == nil {
		return nil
	}
	all.mu.Lock()
	defer all.mu.Unlock()
	if g.handle == nil || time.Now().After(g.until) {
		return nil
	}
	return all.letGoLocked(g)
}

// letGoLocked is the content of a glance, from now on not held here; nil if it was not.
func (all *glances) letGoLocked(g *glance) vfs.Held {
	h := g.handle
	if h != nil {
		all.bytes.give(holds(h))
	}
	g.handle = nil
	return h
}

// drop closes what nobody will take.
func (all *glances) drop(g *glance) {
	if g == nil {
		return
	}
	all.mu.Lock()
	h := all.letGoLocked(g)
	all.mu.Unlock()
	if h != nil {
		_ = h.Close()
	}
}

// trimLocked takes out what was taken, is too old, or is too much.
func (all *glances) trimLocked(now time.Time) (over []vfs.Held) {
	for len(all.held) > 0 {
		g := all.held[0]
		if g.handle != nil && len(all.held) <= maxGlances && now.Before(g.until) {
			break
		}
		if h := all.letGoLocked(g); h != nil {
			over = append(over, h)
		}
		all.held[0] = nil
		all.held = all.held[1:]
	}
	return over
}

// expire closes what is too old.
func (all *glances) expire() {
	all.mu.Lock()
	over := all.trimLocked(time.Now())
	all.expires = nil
	if len(all.held) > 0 && !all.closed {
		all.expires = time.AfterFunc(glanceTime, all.expire)
	}
	all.mu.Unlock()
	for _, h := range over {
		_ = h.Close()
	}
}

// close closes all.
func (all *glances) close() {
	if all == nil {
		return
	}
	all.mu.Lock()
	all.closed = true
	if all.expires != nil {
		all.expires.Stop()
	}
	over := all.held
	all.held = nil
	var handles []vfs.Held
	for _, g := range over {
		if h := all.letGoLocked(g); h != nil {
			handles = append(handles, h)
		}
	}
	all.mu.Unlock()
	for _, h := range handles {
		_ = h.Close()
	}
}
