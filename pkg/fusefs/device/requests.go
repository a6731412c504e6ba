package device

import (
	"context"
	"sync"
	"time"
)

// requests are those that the kernel waits for. Its lock is held for the
// map alone.
type requests struct {
	limit time.Duration // from a request's start to its deadline
	load  *Load         // what they count in until they are answered
	mu    sync.Mutex
	busy  map[uint64]*Request // by the kernel's number
	late  int                 // of busy, those answered by the watch
}

func (rs *requests) init(limit time.Duration, load *Load) {
	rs.limit, rs.load, rs.busy = limit, load, make(map[uint64]*Request)
}

func (rs *requests) begin(unique, dir uint64, thread uint32, values context.Context) *Request {
	now := time.Now()
	r := &Request{
		unique:   unique,
		thread:   thread,
		dir:      dir,
		begun:    now,
		deadline: now.Add(rs.limit),
	}
	r.Init(values, r.deadline)
	rs.load.add(1)
	rs.mu.Lock()
	rs.busy[unique] = r
	rs.mu.Unlock()
	return r
}

// finish ends a request whose call into the tree is over, and its context with
// it, so that nothing derived from it stays behind.
func (rs *requests) finish(r *Request, late bool) {
	rs.mu.Lock()
	if rs.busy[r.unique] == r { // the kernel may use a number again that the watch has answered
		delete(rs.busy, r.unique)
	}
	if late {
		rs.late--
	} else {
		rs.load.add(-1)
	}
	rs.mu.Unlock()
	r.End(context.Canceled)
}

// settleLate is r.settle for the watch: it also counts r until finish.
func (rs *requests) settleLate(r *Request) bool {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if !r.settle() {
		return false
	}
	rs.late++
	rs.load.add(-1)
	return true
}

// of is the request of that number; nil if it is over.
func (rs *requests) of(unique uint64) *Request {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	return rs.busy[unique]
}

func (rs *requests) cancelAll(reason error) {
	for _, r := range rs.all() {
		r.End(reason)
	}
}

func (rs *requests) all() []*Request {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	all := make([]*Request, 0, len(rs.busy))
	for _, r := range rs.busy {
		all = append(all, r)
	}
	return all
}

// slow reports whether the kernel has waited longer than that for an answer
// about a directory, which it keeps locked meanwhile.
func (rs *requests) slow(dir uint64, than time.Duration) bool {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	for _, r := range rs.busy {
		if r.dir == dir && !r.settled.Load() && time.Since(r.begun) > than {
			return true
		}
	}
	return false
}

// running is how many calls into the tree are under way.
func (rs *requests) running() int {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	return len(rs.busy)
}

// stuck is how many of them have been answered for.
func (rs *requests) stuck() int {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	return rs.late
}

// inFlight is how many of them have not been.
func (rs *requests) inFlight() int {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	return len(rs.busy) - rs.late
}
