package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/aggrfs/aggrfs/test/peers/stage"
)

const (
	idleConns = 10_000
	idleMost  = 24 << 10

	crowdConns   = 1000
	crowdFlight  = 32
	crowdTime    = 5 * time.Second
	slowestTimes = 10
)

// idle is what a connection that rests costs the server: resident memory, in
// bytes, against what it may cost.
func idle(ctx context.Context) error {
	all, err := newCompany(ctx)
	if err != nil {
		return err
	}
	defer all.close()
	server, err := all.start("ours")
	if err != nil {
		return err
	}
	var conns []*rawConn
	defer func() {
		for _, c := range conns {
			c.conn.Close()
		}
	}()
	connect := func(n int) error {
		for range n {
			c, err := newRawConn(all.socket("ours"), 16)
			if err != nil {
				return fmt.Errorf("connection %d: %w", len(conns)+1, err)
			}
			conns = append(conns, c)
		}
		return nil
	}
	if err := connect(100); err != nil {
		return err
	}
	before, err := resident(server.Process.Pid)
	if err != nil {
		return err
	}
	if err := connect(idleConns); err != nil {
		return err
	}
	after, err := resident(server.Process.Pid)
	if err != nil {
		return err
	}
	each := float64(after-before) / idleConns
	fmt.Printf("9p-idle ours=%.0f against=%d ratio=%.2f\n", each, idleMost, each/idleMost)
	return nil
}

// crowd has many connections ask as much at once as they may, and compares the
// slowest answer with the median: nobody starves. The ratio is that / the most it
// may be.
func crowd(ctx context.Context) error {
	all, err := newCompany(ctx)
	if err != nil {
		return err
	}
	defer all.close()
	if _, err := all.start("ours"); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, crowdTime)
	defer cancel()
	var mu sync.Mutex
	var waits []time.Duration
	var failed error
	var working sync.WaitGroup
	for range crowdConns {
		c, err := newRawConn(all.socket("ours"), 64<<10)
		if err != nil {
			return err
		}
		defer c.conn.Close()
		working.Go(func() {
			own, err := c.press(ctx)
			mu.Lock()
			defer mu.Unlock()
			waits = append(waits, own...)
			if err != nil {
				failed = err
			}
		})
	}
	working.Wait()
	if failed != nil {
		return failed
	}
	slices.Sort(waits)
	middle, slowest := waits[len(waits)/2], waits[len(waits)-1]
	fmt.Printf("9p-crowd ours=%s against=%s ratio=%.2f\n", readable(slowest), readable(slowestTimes*middle), slowest.Seconds()/(slowestTimes*middle).Seconds())
	return nil
}

// press keeps as many requests under way as may be, half of them reads of an open
// file and half questions to the tree, and returns how long each has waited.
func (c *rawConn) press(ctx context.Context) (waits []time.Duration, err error) {
	c.add(tWalk, 0, le32(0), le32(1), le16(1), str(stage.Status))
	if err := c.settle(tWalk); err != nil {
		return nil, err
	}
	c.add(tLopen, 0, le32(1), le32(0))
	if err := c.settle(tLopen); err != nil {
		return nil, err
	}
	var asked [crowdFlight]time.Time
	ask := func(tag uint16) {
		asked[tag] = time.Now()
		if tag%2 == 0 {
			c.add(tRead, tag, le32(1), le64(0), le32(stage.Small))
		} else {
			c.add(tGetattr, tag, le32(0), le64(0x7ff))
		}
	}
	for tag := range uint16(crowdFlight) {
		ask(tag)
	}
	for left := crowdFlight; left > 0; {
		if c.in.Buffered() == 0 && len(c.out) > 0 {
			if err := c.flush(); err != nil {
				return waits, err
			}
		}
		c.conn.SetReadDeadline(time.Now().Add(time.Minute))
		typ, tag, err := c.take()
		if err != nil || typ == rLerror || int(tag) >= crowdFlight {
			return waits, fmt.Errorf("answer of type %d to tag %d: %w", typ, tag, err)
		}
		waits = append(waits, time.Since(asked[tag]))
		if ctx.Err() == nil {
			ask(tag)
		} else {
			left--
		}
	}
	return waits, nil
}
