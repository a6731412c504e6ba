package device

import "sync/atomic"

// A Load is the requests that are in flight at once on several devices, those of one user,
// and how many that may be. A nil Load has no bound.
type Load struct {
	most int64
	now  atomic.Int64
}

// NewLoad is a load of so many requests at most.
func NewLoad(most int) *Load { return &Load{most: int64(most)} }

// add counts requests that begin, and with a negative number those that have ended.
func (l *Load) add(n int64) {
	if l != nil {
		l.now.Add(n)
	}
}

func (l *Load) full() bool { return l != nil && l.now.Load() >= l.most }
