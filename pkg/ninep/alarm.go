package ninep

import (
	"sync"
	"sync/atomic"
	"time"
)

// An alarm calls ring some time after it was set. Setting it while it is set
// does nothing, so it may be set on every message.
type alarm struct {
	ring func()

	on      atomic.Bool // set and not rung
	mu      sync.Mutex
	timer   *time.Timer
	stopped bool
	work    sync.WaitGroup
}

// set makes the alarm ring after d, if it is not set.
func (a *alarm) set(d time.Duration) {
	if a.on.Load() {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.on.Load() || a.stopped {
		return
	}
	a.on.Store(true)
	a.work.Add(1)
	if a.timer == nil {
		a.timer = time.AfterFunc(d, a.fire)
	} else {
		a.timer.Reset(d)
	}
}

func (a *alarm) fire() {
	defer a.work.Done()
	a.on.Store(false)
	a.ring()
}

// stop ends the alarm for good and waits for a ring that is under way.
func (a *alarm) stop() {
	a.mu.Lock()
	a.stopped = true
	if a.timer != nil && a.timer.Stop() {
		a.work.Done()
	}
	a.mu.Unlock()
	a.work.Wait()
}
