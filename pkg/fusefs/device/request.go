package device

import (
	"context"
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
	thread   uint32 // see Thread
	dir      uint64 // node id of the directory that the kernel keeps locked until the answer; 0: none
	begun    time.Time
	deadline time.Time

	settled atomic.Bool // the answer is being written, or has been
}

// Thread is the number that the kernel gives the thread that makes a request, in whichever pid
// namespace: who makes another request with another number is another thread. It is 0 where the
// kernel does not tell, and where ctx is not that of a request.
func Thread(ctx context.Context) uint32 {
	if r, ok := ctx.(*Request); ok {
		return r.thread
	}
	return 0
}

// settle reports whether it is the caller who has to answer.
func (r *Request) settle() bool { return !r.settled.Swap(true) }
