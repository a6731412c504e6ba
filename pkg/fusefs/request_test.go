package fusefs

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
	rs.init(time.Hour)
	r := rs.begin(7, 0, vfs.Caller{TID: 42})
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
	rs.of(7).end(context.DeadlineExceeded)
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

// TestTakeBack gives back what an answer brought that came too late.
func TestTakeBack(t *testing.T) {
	var table inodes
	root := &inode{id: rootID}
	table.init(root)
	n := synthRoot{&synth{}}
	i := table.enter(root, "a", n, false, 0)
	if again := table.enter(root, "a", n, false, 0); again != i || i.lookups != 2 {
		t.Errorf("the same name is another inode")
	}
	table.forget(i.id, 1)
	if table.get(i.id) != i {
		t.Error("forgotten too early")
	}
	table.forget(i.id, 5)
	table.forget(rootID, 5)
	if table.get(i.id) != nil || table.get(rootID) != root || table.size() != 1 {
		t.Error("not forgotten, or the root is")
	}
	if fresh := table.enter(root, "a", n, false, 0); fresh.id == i.id {
		t.Error("a node id was used twice")
	}
}
