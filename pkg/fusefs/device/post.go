package device

import (
	"sync/atomic"
	"unsafe"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// The post at the device is held by one reader. Waking another thread costs
// several times what most requests do, so a reader carries its request out with
// nobody at the device, and is back before anyone could have taken its place.
// Others come for two reasons: the watch finds the post deserted (the reader is
// in a call that takes long), or a reader finds the next request waiting each
// time it comes back (there is more to do than one can). Who comes back to a
// post that is held ends, so there are as many as there is work for.
type post struct {
	waiting atomic.Int32  // readers at the device
	readers atomic.Int32  // all of them
	taken   atomic.Uint64 // requests taken so far
	resting atomic.Bool   // the watch wants to be nudged by who takes the next
	nudge   chan struct{} // holds one
}

const (
	// busyStreak is how many requests one after another have to be waiting for a reader,
	// each from another thread than the last, before it calls another reader.
	busyStreak = 8
	// maxReaders is how many that makes. To the watch it is no bound, but Config.MaxRequests
	// and Config.Load are: requests that block do not keep others from being answered.
	maxReaders = 16
	// maxPinned is how many readers of a device may have a thread of their own. Others go
	// where they are, to requests that are waiting for something.
	maxPinned = 2
)

func (p *post) init() { p.nudge = make(chan struct{}, 1) }

// arrive is called for a new reader.
func (p *post) arrive() {
	p.readers.Add(1)
	p.waiting.Add(1)
}

// take is called by a reader that got a request.
func (p *post) take() {
	p.taken.Add(1)
	p.waiting.Add(-1)
	if p.resting.Load() && p.resting.CompareAndSwap(true, false) {
		p.nudge <- struct{}{}
	}
}

// back tells a reader that has answered whether to go on.
func (p *post) back() bool {
	if p.waiting.Add(1) > 1 {
		p.waiting.Add(-1)
		p.readers.Add(-1)
		return false
	}
	return true
}

// A crowd is several threads that have to wait for one reader.
type crowd struct {
	streak int
	tid    uint32 // who made the last request
}

// grows reports whether the crowd has become too large, after one more request;
// waited is whether the reader had to wait for it.
func (c *crowd) grows(in []byte, waited bool) bool {
	if len(in) < headerSize {
		return false
	}
	h := (*fuse.InHeader)(unsafe.Pointer(unsafe.SliceData(in)))
	switch h.Opcode {
	case OpRelease, OpReleasedir, OpForget, OpBatchForget, OpInterrupt:
		return false // nobody waits for these
	}
	if waited || h.Pid == c.tid {
		c.streak = 0
	}
	c.tid = h.Pid
	if c.streak++; c.streak < busyStreak {
		return false
	}
	c.streak = 0
	return true
}
