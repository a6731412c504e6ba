package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aggrfs/aggrfs/test/peers/stage"
)

const (
	soakRequests = 10_000_000
	soakConns    = 16
	soakSteps    = 10
	soakGrowth   = 1.1 // of memory, from the second step to the last
)

// soak has a server answer ten million requests of every kind, and compares its
// memory, in bytes, at the end with that near the start.
func soak(ctx context.Context) error {
	all, err := newCompany(ctx)
	if err != nil {
		return err
	}
	defer all.close()
	server, err := all.start("ours")
	if err != nil {
		return err
	}
	var done atomic.Int64
	var failed atomic.Pointer[error]
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var working sync.WaitGroup
	defer working.Wait()
	for i := range soakConns {
		working.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(i)))
			for ctx.Err() == nil && done.Load() < soakRequests {
				if err := visit(all.socket("ours"), random, &done); err != nil {
					failed.Store(&err)
					cancel()
				}
			}
		})
	}
	var early int64
	for step := range soakSteps {
		for done.Load() < soakRequests/soakSteps*int64(step+1) {
			if err := failed.Load(); err != nil {
				return *err
			}
			time.Sleep(10 * time.Millisecond)
		}
		now, err := resident(server.Process.Pid)
		if err != nil {
			return err
		}
		fmt.Printf("# %d requests, %d KiB\n", done.Load(), now>>10)
		if step == 1 {
			early = now
		}
		if step == soakSteps-1 {
			fmt.Printf("9p-soak ours=%d against=%d ratio=%.2f\n", now, early, float64(now)/float64(early))
			if float64(now) > soakGrowth*float64(early) {
				return fmt.Errorf("the server's memory has grown from %d to %d bytes", early, now)
			}
		}
	}
	return nil
}

// visit is one connection's life: a few thousand requests, in small batches.
func visit(socket string, random *rand.Rand, done *atomic.Int64) error {
	c, err := newRawConn(socket, 64<<10)
	if err != nil {
		return err
	}
	defer c.conn.Close()
	c.conn.SetDeadline(time.Now().Add(2 * time.Minute))
	names := []string{stage.Status, stage.Bulk, stage.Many, "none"}
	for range 200 {
		sent := 0
		add := func(typ uint8, fields ...[]byte) {
			c.add(typ, uint16(sent), fields...)
			sent++
		}
		for fid := uint32(1); fid <= 4; fid++ {
			add(tWalk, le32(0), le32(fid), le16(1), str(names[random.IntN(len(names))]))
			add(tGetattr, le32(fid), le64(0x7ff))
			add(tLopen, le32(fid), le32(0))
			add(tRead, le32(fid), le64(random.Uint64N(2000)), le32(1+random.Uint32N(4000)))
			add(tReaddir, le32(fid), le64(0), le32(1000+random.Uint32N(3000)))
			if random.IntN(8) == 0 {
				add(tFlush, le16(uint16(random.IntN(sent))))
			}
			if random.IntN(16) == 0 {
				add(tWalk, le32(0), le32(fid), le16(0)) // in use
			}
			add(tClunk, le32(fid))
		}
		if err := c.flush(); err != nil {
			return err
		}
		// A request that was flushed need not be answered, but the flush comes last.
		seen := make(map[uint16]bool)
		for last := uint16(sent - 1); !seen[last] || c.in.Buffered() > 0; {
			_, tag, err := c.take()
			if err != nil {
				return err
			}
			seen[tag] = true
		}
		// What is still under way has its answer before that of a question that
		// all of them are queued behind: a new session.
		c.add(tVersion, 0xffff, le32(64<<10), str("9P2000.L"))
		if err := c.flush(); err != nil {
			return err
		}
		for typ := uint8(0); typ != tVersion+1; {
			if typ, _, err = c.take(); err != nil {
				return err
			}
		}
		c.add(tAttach, 0, le32(0), le32(^uint32(0)), str(""), str(""), le32(0))
		if err := c.settle(tAttach); err != nil {
			return err
		}
		c.conn.SetDeadline(time.Now().Add(2 * time.Minute))
		done.Add(int64(sent) + 2)
	}
	return nil
}
