package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"time"

	"github.com/aggrfs/aggrfs/pkg/cachepolicy"
)

// policyMatch compares finding the rule of a path in the default policy with a look
// into a map that has every path.
func policyMatch() error {
	p := cachepolicy.Default()
	paths := []string{"meminfo", "version", "net/dev", "sys/kernel/pid_max"}
	for i := range 60 {
		pid := strconv.Itoa(1000 + 37*i)
		for _, name := range []string{"stat", "status", "environ", "maps", "cmdline", "task/" + pid + "/stat"} {
			paths = append(paths, pid+"/"+name)
		}
	}
	rules := make(map[string]*cachepolicy.Rule)
	for _, path := range paths {
		rules[path] = p.Rule("n1", path)
	}
	wrong := 0
	ours := func() time.Duration {
		start := time.Now()
		for i := range cacheReads {
			if p.Rule("n1", paths[i%len(paths)]) == nil {
				wrong++
			}
		}
		return time.Since(start)
	}
	against := func() time.Duration {
		start := time.Now()
		for i := range cacheReads {
			if rules[paths[i%len(paths)]] == nil {
				wrong++
			}
		}
		return time.Since(start)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	ours()
	runtime.ReadMemStats(&after)
	var a, b []time.Duration
	for range cacheRounds {
		a, b = append(a, ours()), append(b, against())
	}
	figureNS("policy-match", a, b)
	allocations := after.Mallocs - before.Mallocs
	if wrong > 0 || allocations > cacheReads/100 { // some are the runtime's
		return fmt.Errorf("policy-match: %d paths without a rule, %d allocations", wrong, allocations)
	}
	return nil
}

const (
	memoryKeys  = 10_000_000
	memoryLimit = 64 << 20
)

// cacheMemory offers ten million keys to a store that may hold 64 MiB, and compares
// the heap, at its largest, with 1.25 times that and 32 MiB.
func cacheMemory(ctx context.Context) error {
	p, err := cachepolicy.Parse("bench", []byte("version: 1\nmax_bytes: 64MiB\nrules: [{match: '**', cache: 1h}]"))
	if err != nil {
		return err
	}
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	base, most := m.HeapAlloc, uint64(0)
	s := cachepolicy.NewStore(cachepolicy.StoreConfig{Policy: p})
	defer s.Close()
	for i := range memoryKeys {
		content := binary.LittleEndian.AppendUint64(nil, uint64(i))
		s.Put(cachepolicy.Key{Process: cachepolicy.Process{Node: "n1", Boot: "b", PID: i%4_000_000 + 1, Start: uint64(i)}, Path: "environ"}, s.Now(), content, nil)
		if i%(memoryKeys/20) == memoryKeys/20-1 {
			if err := ctx.Err(); err != nil {
				return err
			}
			runtime.GC()
			runtime.ReadMemStats(&m)
			most = max(most, m.HeapAlloc-min(base, m.HeapAlloc))
		}
	}
	var held int64
	for _, f := range s.Figures() {
		held += f.Bytes
	}
	allowed := uint64(memoryLimit)*5/4 + 32<<20
	fmt.Printf("cache-memory ours=%.1fMiB against=%.1fMiB ratio=%.2f\n", float64(most)/(1<<20), float64(allowed)/(1<<20), float64(most)/float64(allowed))
	if held > memoryLimit || held < memoryLimit/2 {
		return errors.New("cache-memory: the store holds " + strconv.FormatInt(held>>20, 10) + " MiB of 64 by its own account")
	}
	return nil
}
