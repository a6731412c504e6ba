package procfs9p

import (
	"sync"
	"syscall"
	"time"
)

// guard runs what may block in the kernel, and leaves it behind when it does:
// on a goroutine of its own (apart), or where the request is if that can go on
// without it (inView).
//
// Each call is known by a key, that of the process whose lock it may wait for.
// While a call of a key is stuck, others of that key are refused at once; while
// max calls are stuck, all are. A goroutine that was left behind gives its
// place back when the kernel lets it go, and nobody looks at its result.
type guard struct {
	timeout time.Duration
	max     int
	calls   sync.Pool // of *call

	exposures sync.Pool // of *exposure

	mu      sync.Mutex
	closed  bool
	stuck   map[uint64]int // calls left behind, by key
	nstuck  int
	running int           // calls, those left behind included
	idle    chan struct{} // made by close; closed when running falls to zero

	exposed  map[*exposure]struct{} // the calls that are made where their requests are
	watch    *time.Timer            // calls lookAround
	watching bool                   // it will
}

func newGuard(timeout time.Duration, max int) *guard {
	return &guard{timeout: timeout, max: max, stuck: make(map[uint64]int), exposed: make(map[*exposure]struct{})}
}

// enter counts a call. Each enter is followed by one leave.
func (g *guard) enter() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return syscall.ESHUTDOWN
	}
	g.running++
	return nil
}

// hold counts one more call within one that has entered.
func (g *guard) hold() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.running++
}

func (g *guard) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.leaveLocked()
}

func (g *guard) leaveLocked() {
	g.running--
	if g.running == 0 && g.idle != nil {
		close(g.idle)
	}
}

// refused says why a call that may block for key cannot be made now.
func (g *guard) refused(key uint64) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.stuck[key] > 0 || g.nstuck >= g.max {
		return syscall.ETIMEDOUT
	}
	return nil
}

// markStuck counts a call as left behind, unmarkStuck as back.
func (g *guard) markStuck(key uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.markLocked(key)
}

func (g *guard) markLocked(key uint64) {
	g.stuck[key]++
	g.nstuck++
}

func (g *guard) unmarkStuck(key uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.unmarkLocked(key)
}

func (g *guard) unmarkLocked(key uint64) {
	g.nstuck--
	if g.stuck[key]--; g.stuck[key] == 0 {
		delete(g.stuck, key)
	}
}

func (g *guard) stuckCount() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.nstuck
}

// close refuses further calls, waits for those that run and says how many it
// left behind.
func (g *guard) close() int {
	g.mu.Lock()
	g.closed = true
	if g.running == 0 || g.idle != nil {
		g.mu.Unlock()
		g.endWatch()
		return 0
	}
	idle := make(chan struct{})
	g.idle = idle
	g.mu.Unlock()
	t := time.NewTimer(g.timeout)
	defer t.Stop()
	select {
	case <-idle:
		g.endWatch()
		return 0
	case <-t.C:
		g.mu.Lock()
		defer g.mu.Unlock()
		return g.running
	}
}
