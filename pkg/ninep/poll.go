package ninep

import (
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// pollTime is how long a reader asks its socket over and over before it sleeps,
// if the last sleep was shorter than that: who works through a directory asks
// the next question some microseconds after each answer, and to be woken for it
// takes longer than to answer it. Nothing is polled at rest, nor where questions
// come at a slower pace.
const pollTime = 200 * time.Microsecond

// A pollers counts who polls, so that few do: each takes a CPU from those who
// work.
type pollers struct{ n atomic.Int32 }

// enter reports whether one more may poll; who may calls leave.
func (p *pollers) enter() bool {
	if p.n.Add(1) <= mostPollers() {
		return true
	}
	p.n.Add(-1)
	return false
}

// mostPollers is how many may poll at once; on a machine of one CPU nobody may.
func mostPollers() int32 { return int32(min(runtime.NumCPU(), runtime.GOMAXPROCS(0)) / 2) }

func (p *pollers) leave() { p.n.Add(-1) }

// A sleeper is what a reader knows about its waits. The zero value never polls.
type sleeper struct {
	pollers *pollers  // nil: it does not poll by itself
	short   bool      // the last wait was shorter than pollTime
	since   time.Time // when this wait began; zero if there was none
	until   time.Time // not zero: the reader polls until then, and never sleeps
}

// pollNow reads from a socket that had nothing, again and again if that is
// worth its while; EAGAIN says that nothing came.
func (s *sleeper) pollNow(fd int, p []byte) (int, error) {
	if !s.until.IsZero() {
		return pollUntil(fd, p, s.until)
	}
	if s.pollers == nil || !s.since.IsZero() { // it has slept
		return 0, unix.EAGAIN
	}
	s.since = time.Now()
	if !s.short || !s.pollers.enter() {
		return 0, unix.EAGAIN
	}
	defer s.pollers.leave()
	return pollUntil(fd, p, s.since.Add(pollTime))
}

func pollUntil(fd int, p []byte, end time.Time) (int, error) {
	for time.Until(end) > 0 {
		yield()
		if n, err := readOnce(fd, p); err != unix.EAGAIN {
			return n, err
		}
	}
	return 0, unix.EAGAIN
}

// woken notes that the wait is over.
func (s *sleeper) woken() {
	if !s.since.IsZero() {
		s.short = time.Since(s.since) < pollTime
		s.since = time.Time{}
	}
}

// readOnce is one read(2) that no signal interrupts.
func readOnce(fd int, p []byte) (int, error) {
	for {
		if n, err := unix.Read(fd, p); err != unix.EINTR {
			return max(n, 0), err
		}
	}
}

// yield lets another thread have this CPU, if one waits for it: what is polled
// for may have to run here.
func yield() { unix.Syscall(unix.SYS_SCHED_YIELD, 0, 0, 0) }
