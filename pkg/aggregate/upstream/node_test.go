package upstream

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// newTestNode is a node that is not connected to anything.
func newTestNode(t *testing.T, name gpid.NodeName, log *slog.Logger) *Node {
	t.Helper()
	return New(t.Context(), Config{Name: name, Index: 1, Address: string(name) + ":1", Timeouts: Timeouts{}.WithDefaults(), Log: log, Now: time.Now})
}

// idleConn is a connection by which nothing comes.
type idleConn struct {
	vfs.Tree
	done chan struct{}
}

func (c idleConn) Done() <-chan struct{} { return c.done }
func (c idleConn) Err() error            { return nil }
func (c idleConn) Close() error          { return nil }

// TestErrorsOfConnections: an exchange that ended for want of an answer is EHOSTDOWN, and one
// that its requester has given up is not.
func TestErrorsOfConnections(t *testing.T) {
	n := newTestNode(t, "n1", slog.New(slog.DiscardHandler))
	ended, open := newSession(idleConn{done: make(chan struct{})}), newSession(idleConn{done: make(chan struct{})})
	close((*ended.conn.Load()).(idleConn).done)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	late, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	for _, k := range []struct {
		name string
		ctx  context.Context
		s    *Session
		err  error
		want syscall.Errno
	}{
		{"the connection ended", t.Context(), ended, errors.New("unexpected EOF"), syscall.EHOSTDOWN},
		{"it was reset", t.Context(), open, syscall.ECONNRESET, syscall.EHOSTDOWN},
		{"the deadline has passed", late, open, context.DeadlineExceeded, syscall.EHOSTDOWN},
		{"the requester has gone", gone, open, context.Canceled, syscall.EINTR},
		{"the node's answer", t.Context(), open, syscall.EACCES, syscall.EACCES},
		{"no error", t.Context(), ended, nil, 0},
	} {
		if err := n.unanswered(k.ctx, k.s, k.err); vfs.Errno(err) != k.want {
			t.Errorf("%s: %v", k.name, err)
		}
	}
}

// TestRetryIsSoon: the longest wait between two attempts, and the attempt itself on a machine
// that is well, leave a node back within two seconds of being well.
func TestRetryIsSoon(t *testing.T) {
	if longest := retryMax; longest > 1500*time.Millisecond || probeSilent > time.Second {
		t.Errorf("a dead node is dialled every %v, a silent one probed every %v", longest, probeSilent)
	}
}

// TestFlappingNode: a node that comes and goes makes few lines, however long; the last one of
// its state is how it is; and another node has its own.
func TestFlappingNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lines := new(bytes.Buffer)
		log := slog.New(slog.NewTextHandler(lines, nil))
		n, other := newTestNode(t, "n1", log), newTestNode(t, "n2", log)
		flaw := errors.New(strings.Repeat("what the leaf says\n", 10000))
		const minutes = 10
		for range minutes * 60 {
			n.enter(Up, nil)
			n.enter(Silent, flaw)
			n.enter(Down, flaw)
			time.Sleep(time.Second)
		}
		n.enter(Up, nil)
		other.enter(Up, nil)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		got := strings.Split(strings.TrimSuffix(lines.String(), "\n"), "\n")
		if most := 10 + minutes + 2 + 1; len(got) > most || lines.Len() > most*2048 {
			t.Errorf("%d lines of %d bytes", len(got), lines.Len())
		}
		var states []string
		for _, line := range got {
			if strings.Contains(line, "node is ") && strings.Contains(line, "node=n1") {
				states = append(states, line)
			}
		}
		if last := states[len(states)-1]; !strings.Contains(last, `"node is up"`) || !strings.Contains(strings.Join(states, " "), "left_out=") {
			t.Errorf("the last line is %s", last)
		}
		if !strings.Contains(lines.String(), "node=n2") {
			t.Error("no line of the other node")
		}
	})
}
