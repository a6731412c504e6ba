package main

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"

	"github.com/maypok86/otter/v2"

	"github.com/aggrfs/aggrfs/pkg/cachepolicy"
)

const (
	otterKeys  = 200_000
	otterReads = 4_000_000
	otterSkew  = 1.01
	otterShare = 20 // the cache has room for a twentieth of the keys
)

// cacheOtter compares the share of reads that are answered from memory, ours /
// otter's, with room for as many keys: reads follow Zipf's law, and each key that is
// not there is fetched and put there.
func cacheOtter(context.Context) error {
	trace := zipf(otterKeys, otterReads, otterSkew)
	ours, err := ourHits(trace)
	if err != nil {
		return err
	}
	against, err := otterHits(trace)
	if err != nil {
		return err
	}
	fmt.Printf("cache-otter ours=%.4f against=%.4f ratio=%.3f\n", ours, against, ours/against)
	return nil
}

// zipf draws reads of n keys, the k-th of which is as frequent as 1 / k^s, in an
// order of keys that says nothing.
func zipf(n, reads int, s float64) []int {
	random := rand.New(rand.NewPCG(1, 2))
	sums := make([]float64, n)
	sum := 0.0
	for k := range sums {
		sum += math.Pow(float64(k+1), -s)
		sums[k] = sum
	}
	order := random.Perm(n)
	trace := make([]int, reads)
	for i := range trace {
		k, _ := slices.BinarySearch(sums, random.Float64()*sum)
		trace[i] = order[min(k, n-1)]
	}
	return trace
}

func ourHits(trace []int) (float64, error) {
	key := func(i int) cachepolicy.Key {
		return cachepolicy.Key{Process: cachepolicy.Process{Node: "n1", Boot: "b", PID: i + 1, Start: 1}, Path: "environ"}
	}
	content := make([]byte, 1024)
	fetch := func(context.Context) ([]byte, error) { return content, nil }
	// What one entry takes is asked of a store.
	size, err := entrySize(key(otterKeys), fetch)
	if err != nil {
		return 0, err
	}
	s, err := store(size * otterKeys / otterShare)
	if err != nil {
		return 0, err
	}
	defer s.Close()
	asked := 0
	for _, i := range trace {
		if _, err := s.Read(context.Background(), key(i), func(context.Context) ([]byte, error) { asked++; return content, nil }); err != nil {
			return 0, err
		}
	}
	if n := s.Figures()[0].Entries; n > otterKeys/otterShare {
		return 0, fmt.Errorf("the store holds %d entries", n)
	}
	return 1 - float64(asked)/float64(len(trace)), nil
}

func entrySize(key cachepolicy.Key, fetch cachepolicy.Fetch) (int64, error) {
	s, err := store(1 << 30)
	if err != nil {
		return 0, err
	}
	defer s.Close()
	_, err = s.Read(context.Background(), key, fetch)
	return s.Figures()[0].Bytes, err
}

func store(limit int64) (*cachepolicy.Store, error) {
	p, err := cachepolicy.Parse("peers", []byte("version: 1\nmax_bytes: "+strconv.FormatInt(limit>>10, 10)+"KiB\nrules: [{match: '**', cache: lifetime}]"))
	if err != nil {
		return nil, err
	}
	return cachepolicy.NewStore(cachepolicy.StoreConfig{Policy: p}), nil
}

func otterHits(trace []int) (float64, error) {
	c, err := otter.New(&otter.Options[int, []byte]{MaximumSize: otterKeys / otterShare})
	if err != nil {
		return 0, err
	}
	defer c.StopAllGoroutines()
	content := make([]byte, 1024)
	asked := 0
	load := otter.LoaderFunc[int, []byte](func(context.Context, int) ([]byte, error) { asked++; return content, nil })
	for _, i := range trace {
		if _, err := c.Get(context.Background(), i, load); err != nil {
			return 0, err
		}
	}
	return 1 - float64(asked)/float64(len(trace)), nil
}
