package ninep

import (
	"errors"
	"net"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/pkg/vfs/vfstest"
)

// TestRest has when a connection is closed that asks nothing, by the idler's rings: one
// with nothing to see after Limits.Vacant and at most a quarter of that later, one
// without a fid after Limits.Idle and at most as much later. While a request is under way
// it does not rest.
func TestRest(t *testing.T) {
	limits := Limits{}.withDefaults()
	for name, c := range map[string]struct {
		change      func(*Limits)
		viewed, fid bool
		least, most time.Duration
		want        error
	}{
		"nothing to see":        {least: limits.Vacant, most: limits.Vacant * 5 / 4, want: errVacant},
		"and a fid":             {fid: true, least: limits.Vacant, most: limits.Vacant * 5 / 4, want: errVacant},
		"another time":          {change: func(l *Limits) { l.Vacant = time.Minute }, least: time.Minute, most: 75 * time.Second, want: errVacant},
		"something to see":      {viewed: true, least: limits.Idle, most: 2 * limits.Idle, want: errIdle},
		"something, and a fid":  {viewed: true, fid: true},
		"nothing, Idle shorter": {change: func(l *Limits) { l.Idle = time.Second }, least: time.Second, most: 2 * time.Second, want: errIdle},
		"the same with a fid":   {change: func(l *Limits) { l.Idle = time.Second }, fid: true, least: limits.Vacant, most: limits.Vacant * 5 / 4, want: errVacant},
	} {
		t.Run(name, func(t *testing.T) {
			limits := Limits{}
			if c.change != nil {
				limits = Limits{}.withDefaults()
				c.change(&limits)
			}
			s := NewServer(ServerConfig{Tree: vfstest.NewTree(), Identify: believe, Limits: limits})
			near, far := net.Pipe()
			defer near.Close()
			conn := s.newConn(far, Peer{}, &arrival{nc: far}, s.accounts.of("test"))
			defer conn.out.stop()
			defer conn.idler.stop()
			if c.fid {
				conn.fids[1] = new(fid)
			}
			conn.viewed.Store(c.viewed)
			conn.busy.Store(true) // as it begins, with its Tversion
			part := conn.restTime()
			conn.endIdle()
			conn.inflight = 1
			for range 20 {
				conn.endIdle()
			}
			if conn.cause != nil {
				t.Fatalf("closed while a request is under way: %v", conn.cause)
			}
			conn.inflight = 0
			conn.busy.Store(true) // the last request: at some time of this part
			conn.endIdle()
			rings := time.Duration(0)
			for conn.cause == nil && rings < 100 {
				conn.endIdle()
				rings++
			}
			if !errors.Is(conn.cause, c.want) || conn.cause != nil && (rings*part < c.least || (rings+1)*part > c.most) {
				t.Errorf("%v after %v to %v", conn.cause, rings*part, (rings+1)*part)
			}
		})
	}
}
