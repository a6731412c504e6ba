package device

import (
	"sync/atomic"
	"time"

	"github.com/aggrfs/aggrfs/internal/requestctx"
)

// A Request is one question of the kernel that waits for its answer, and the context under which
// the tree is asked.
//
// Exactly one answer is written: by the reader that carries the request out,
// or by the watch when that takes too long; whoever settles it first.
type Request struct {
	requestctx.Context

	unique   uint64
	dir      uint64 // node id of the directory that the kernel keeps locked until the answer; 0: none
	begun    time.Time
	deadline time.Time

	settled atomic.Bool // the answer is being written, or has been
}

// settle reports whether it is the caller who has to answer.
func (r *Request) settle() bool { return !r.settled.Swap(true) }
