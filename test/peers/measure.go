package main

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// rounds is how often each side of a figure is measured, by turns.
const rounds = 7

// compare measures both by turns and returns the median of each.
func compare(ours, against func() (time.Duration, error)) (time.Duration, time.Duration, error) {
	var a, b []time.Duration
	for i := range rounds + 1 {
		x, err := ours()
		if err != nil {
			return 0, 0, fmt.Errorf("ours: %w", err)
		}
		y, err := against()
		if err != nil {
			return 0, 0, fmt.Errorf("the other: %w", err)
		}
		if i > 0 { // the first warms up
			a, b = append(a, x), append(b, y)
		}
	}
	return median(a), median(b), nil
}

func median(d []time.Duration) time.Duration {
	d = slices.Clone(d)
	slices.Sort(d)
	return d[len(d)/2]
}

// faster prints a line whose ratio is our rate / the other's.
func faster(name string, ours, against time.Duration) {
	fmt.Printf("%s ours=%s against=%s ratio=%.2f\n", name, readable(ours), readable(against), against.Seconds()/ours.Seconds())
}

// slower prints a line whose ratio is our time / the other's.
func slower(name string, ours, against time.Duration) {
	fmt.Printf("%s ours=%s against=%s ratio=%.2f\n", name, readable(ours), readable(against), ours.Seconds()/against.Seconds())
}

// readable is the time of one operation.
func readable(d time.Duration) string {
	if d < time.Millisecond {
		return fmt.Sprintf("%.2fµs", float64(d)/float64(time.Microsecond))
	}
	return fmt.Sprintf("%.2fms", float64(d)/float64(time.Millisecond))
}

// each is what one of n operations takes, when many of them are under way at once.
func each(n, many int, do func() error) (time.Duration, error) {
	var left atomic.Int64
	var failed atomic.Pointer[error]
	left.Store(int64(n))
	var all sync.WaitGroup
	start := time.Now()
	for range many {
		all.Go(func() {
			for left.Add(-1) >= 0 {
				if err := do(); err != nil {
					failed.Store(&err)
					return
				}
			}
		})
	}
	all.Wait()
	took := time.Since(start) / time.Duration(n)
	if err := failed.Load(); err != nil {
		return 0, *err
	}
	return took, nil
}
