package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/aggrfs/aggrfs/pkg/cachepolicy"
)

const (
	cacheRounds  = 101
	cacheReads   = 1 << 14 // of each round, of each reader
	cacheKeys    = 1 << 10
	cacheReaders = 2 // of cache-hit-parallel
	cacheContent = 1300
)

// cacheFigures compares a warm read through the store with a look into a sync.Map
// under the same key (cache-hit, cache-hit-parallel), finding a path's rule with a
// look into a map from paths (policy-match), and the heap that ten million keys leave
// with what is allowed (cache-memory).
func cacheFigures(ctx context.Context) error {
	if err := cacheHits(ctx); err != nil {
		return err
	}
	if err := policyMatch(); err != nil {
		return err
	}
	return cacheMemory(ctx)
}

func cacheHits(ctx context.Context) error {
	s := cachepolicy.NewStore(cachepolicy.StoreConfig{})
	defer s.Close()
	var m sync.Map
	keys := make([]cachepolicy.Key, cacheKeys)
	boxed := make([]any, cacheKeys) // so that the map is not slowed down by making these
	content := make([]byte, cacheContent)
	for i := range keys {
		keys[i] = cachepolicy.Key{
			Process: cachepolicy.Process{Node: "n" + strconv.Itoa(i%128), Boot: "6d0b6a2e-5f2f-4a54-8b46-0c1ab0b1b3f1", PID: 1000 + i, Start: uint64(i)},
			Path:    "environ", Reader: "1001,1001,50",
		}
		boxed[i] = keys[i]
		m.Store(boxed[i], content)
	}
	fetch := func(context.Context) ([]byte, error) { return content, nil }
	warm := func() error {
		for _, k := range keys {
			if _, err := s.Read(ctx, k, fetch); err != nil {
				return err
			}
		}
		return nil
	}
	ours := func(first int) (err error) {
		for i := range cacheReads {
			v, e := s.Read(ctx, keys[(first+i)%cacheKeys], fetch)
			if e != nil || len(v.Content) != cacheContent {
				err = fmt.Errorf("a warm read: %d bytes, %w", len(v.Content), e)
			}
		}
		return err
	}
	against := func(first int) (err error) {
		for i := range cacheReads {
			if v, ok := m.Load(boxed[(first+i)%cacheKeys]); !ok || len(v.([]byte)) != cacheContent {
				err = fmt.Errorf("a key is gone")
			}
		}
		return err
	}
	for _, f := range []struct {
		name    string
		readers int
	}{{"cache-hit", 1}, {"cache-hit-parallel", cacheReaders}} {
		var a, b []time.Duration
		for range cacheRounds {
			if err := warm(); err != nil {
				return err
			}
			for _, side := range []struct {
				read  func(int) error
				times *[]time.Duration
			}{{ours, &a}, {against, &b}} {
				took, err := together(f.readers, side.read)
				if err != nil {
					return err
				}
				*side.times = append(*side.times, took)
			}
		}
		figureNS(f.name, a, b)
	}
	return nil
}

// together times as many calls at once.
func together(n int, call func(int) error) (time.Duration, error) {
	errs := make(chan error, n)
	start := time.Now()
	for i := range n {
		go func() { errs <- call(i * cacheKeys / n) }()
	}
	var err error
	for range n {
		if e := <-errs; e != nil {
			err = e
		}
	}
	return time.Since(start), err
}

// figureNS is figure for rounds of cacheReads calls that take nanoseconds each. The
// fastest round of either side counts: what else the machine does only adds.
func figureNS(name string, ours, against []time.Duration) {
	a, b := float64(slices.Min(ours))/cacheReads, float64(slices.Min(against))/cacheReads
	fmt.Printf("%s ours=%.1fns against=%.1fns ratio=%.2f\n", name, a, b, a/b)
}
