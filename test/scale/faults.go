package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aggrfs/aggrfs/pkg/aggregate"
	"github.com/aggrfs/aggrfs/test/figures"
)

const (
	faultNodes    = 200
	faultProcs    = 50
	faultRounds   = 1000
	faultDeadline = 200 * time.Millisecond
	// faultKeep is so short that each look is a sweep.
	faultKeep = time.Millisecond
	// backWithin is how soon all nodes must be back when they are well again.
	backWithin = 2 * time.Second
)

// faults sweeps nodes of which a tenth hang, a twentieth die in mid-answer and a
// twentieth answer garbage, a thousand times: each must end by its deadline, with every
// row of the healthy ones, and memory must stay flat.
func faults(ctx context.Context, _ size) (err error) {
	const hang, die, garbage = faultNodes / 10, faultNodes / 20, faultNodes / 20
	const healthy = (faultNodes - hang - die - garbage) * faultProcs
	s, err := simulate(ctx, faultNodes, faultProcs, hang+die+garbage)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	f, err := newFront(s, faultKeep, aggregate.Timeouts{Connect: time.Second, Read: time.Second, Sweep: faultDeadline})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	f.Ready(ctx)
	if _, err := f.whole(ctx, faultNodes*faultProcs); err != nil {
		return err
	}
	if err := s.do("fail %d %d %d", hang, die, garbage); err != nil {
		return err
	}
	var slowest time.Duration
	var early, late uint64
	short := 0
	for i := range faultRounds {
		start := time.Now()
		lines, err := f.table(ctx)
		if err != nil {
			return err
		}
		slowest = max(slowest, time.Since(start))
		if lines < healthy {
			short++
		}
		switch i {
		case faultRounds / 5:
			early = heap()
		case faultRounds - 1:
			late = heap()
		}
	}
	figures.Print("sweep-faults/slowest", slowest, faultDeadline)
	figures.Ratio("sweep-faults/short", fmt.Sprint(short), fmt.Sprint(faultRounds), float64(short)/faultRounds)
	figures.Ratio("sweep-faults/memory", fmt.Sprintf("%dKiB", late>>10), fmt.Sprintf("%dKiB", early>>10), float64(late)/float64(early))
	if err := s.do("fail 0 0 0"); err != nil {
		return err
	}
	start := time.Now()
	for {
		lines, err := f.table(ctx)
		if err != nil {
			return err
		}
		if lines == faultNodes*faultProcs {
			break
		}
		if time.Since(start) > time.Minute {
			return fmt.Errorf("%d processes of %d a minute after all nodes are well", lines, faultNodes*faultProcs)
		}
		time.Sleep(10 * time.Millisecond)
	}
	figures.Print("sweep-faults/back", time.Since(start), backWithin)
	return nil
}
