package device

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// TestRequestContext: a request is a context as any other, for those who derive
// from it too.
func TestRequestContext(t *testing.T) {
	var rs requests
	rs.init(time.Hour, nil)
	r := rs.begin(7, 0, 0, vfs.WithCaller(context.Background(), vfs.Caller{TID: 42}))
	if c, ok := vfs.CallerOf(r); !ok || c.TID != 42 {
		t.Errorf("caller %+v", c)
	}
	if d, ok := r.Deadline(); !ok || time.Until(d) > time.Hour || r.Err() != nil {
		t.Errorf("deadline %v, error %v", d, r.Err())
	}
	derived, cancel := context.WithCancel(r)
	defer cancel()
	stopped, stop := context.WithCancel(r)
	stop()
	called := make(chan struct{})
	context.AfterFunc(r, func() { close(called) })
	rs.of(7).End(context.DeadlineExceeded)
	rs.finish(r, false) // has no say any more
	for what, ctx := range map[string]context.Context{"request": r, "derived": derived} {
		select {
		case <-ctx.Done():
		case <-time.After(5 * time.Second):
			t.Errorf("%s: not done", what)
		}
		if !errors.Is(ctx.Err(), context.DeadlineExceeded) || vfs.Errno(ctx.Err()).Error() != "connection timed out" {
			t.Errorf("%s: %v", what, ctx.Err())
		}
	}
	<-called
	if !errors.Is(stopped.Err(), context.Canceled) || rs.of(7) != nil || rs.running() != 0 {
		t.Errorf("stopped: %v, %d running", stopped.Err(), rs.running())
	}
	if late, done := context.WithCancel(r); late.Err() == nil {
		t.Error("derived from what is over, and not over")
		done()
	} else {
		done()
	}
}
