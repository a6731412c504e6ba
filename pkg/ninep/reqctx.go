package ninep

import (
	"context"
	"sync"

	"github.com/aggrfs/aggrfs/internal/requestctx"
)

// A reqCtx is the context of one request. The connection's own sweep ends those whose deadline
// has come.
type reqCtx struct {
	requestctx.Context

	mu    sync.Mutex
	opens *job   // while it may be left, see Expose
	left  func() // whom to tell, between Expose and Cover
	gone  bool   // it was left
}

var _ context.Context = (*reqCtx)(nil)

// cancel ends the context; only the first call counts.
func (r *reqCtx) cancel(err error) {
	if r.End(err) {
		r.Leave(err)
	}
}
