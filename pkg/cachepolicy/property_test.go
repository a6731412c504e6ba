package cachepolicy

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// TestNoOlderThanItsTime does what comes to mind to a store, at random, and steps
// its clock back now and then. Real time goes on all the while: nothing may be given
// out that is, in real time, older than the rule in force allows.
func TestNoOlderThanItsTime(t *testing.T) {
	policies := []*Policy{
		policy(t, `{match: "<pid>/{a,b}", cache: 1s, stale: 3s, negative: 2s}`, `{match: "<pid>/c", cache: 10s}`),
		policy(t, `{match: "<pid>/a", cache: never}`, `{match: "<pid>/b", cache: 5s, nodes: n0}`, `{match: "**", cache: 200ms, stale: 1s}`),
		policy(t, `{match: "<pid>/*", cache: 3s, negative: 500ms}`),
	}
	for seed := range uint64(30) {
		random := rand.New(rand.NewPCG(seed, 1))
		clock := newFakeClock()
		s := NewStore(StoreConfig{Policy: policies[0], Now: clock.Now})
		real := time.Duration(0) // what has passed
		inForce := policies[0]
		errorsAt := make(map[Key]time.Duration)
		for step := range 3000 {
			key := Key{Process: Process{"n" + strconv.Itoa(random.IntN(2)), "b", 1 + random.IntN(3), 7}, Path: string(rune('a' + random.IntN(3)))}
			rule := inForce.Rule(key.Node, strconv.Itoa(key.PID)+"/"+key.Path)
			switch random.IntN(12) {
			case 0, 1, 2:
				d := time.Duration(random.Int64N(int64(1500 * time.Millisecond)))
				real += d
				clock.Add(d)
			case 3:
				if random.IntN(4) == 0 {
					// More than what has passed since somebody looked, or it could not be known.
					s.Now()
					real += time.Duration(random.Int64N(int64(2 * time.Second)))
					clock.Add(-time.Duration(1 + random.Int64N(int64(5*time.Second))))
					s.Now()
				}
			case 4:
				inForce = policies[random.IntN(len(policies))]
				s.SetPolicy(inForce)
			case 5:
				s.DropProcess(key.Process)
			case 6:
				s.Expire()
			case 7:
				s.Put(key, s.Now(), strconv.AppendInt(nil, int64(real), 10), nil)
			default:
				answer := random.IntN(4)
				asked := false
				v, err := s.Read(t.Context(), key, func(context.Context) ([]byte, error) {
					asked = true
					switch answer {
					case 0:
						return nil, syscall.EHOSTDOWN
					case 1:
						errorsAt[key] = real
						return nil, syscall.ENOENT
					}
					return strconv.AppendInt(nil, int64(real), 10), nil
				})
				switch {
				case err == syscall.EHOSTDOWN && asked, asked && err == syscall.ENOENT:
				case err == syscall.ENOENT:
					if age := real - errorsAt[key]; age >= rule.Negative {
						t.Fatalf("seed %d, step %d: %v: an answer of %v ago, by %+v", seed, step, key, age, rule)
					}
				case err != nil:
					t.Fatalf("seed %d, step %d: %v: %v", seed, step, key, err)
				default:
					n, _ := strconv.ParseInt(string(v.Content), 10, 64)
					age, limit := real-time.Duration(n), rule.Cache.For()
					if v.Stale {
						limit += rule.Stale
					}
					if v.Stale && (!asked || answer != 0) || age > v.Age || age >= limit && !(asked && age == 0) {
						t.Fatalf("seed %d, step %d: %v: %+v of %v ago, asked %v, by %+v", seed, step, key, v, age, asked, rule)
					}
				}
			}
		}
		sound(t, s)
		s.Close()
	}
}

// TestReadersAtOnce wants no more fetches than the time that passes allows.
func TestReadersAtOnce(t *testing.T) {
	const readers, cache, rounds = 1000, 100 * time.Millisecond, 8
	s := NewStore(StoreConfig{Policy: policy(t, `{match: "<pid>/status", cache: 100ms}`)})
	defer s.Close()
	var node counter
	start := time.Now()
	var all sync.WaitGroup
	for range readers {
		all.Go(func() {
			last := 0
			for time.Since(start) < rounds*cache {
				v, err := s.Read(t.Context(), keyOf("status"), node.fetch)
				n, _ := strconv.Atoi(string(v.Content))
				if err != nil || n < last {
					t.Errorf("%q after %d, %v", v.Content, last, err)
					return
				}
				last = n
				time.Sleep(time.Millisecond)
			}
		})
	}
	all.Wait()
	if most := int64(time.Since(start)/cache) + 1; node.n.Load() > most {
		t.Errorf("%d fetches, of %d", node.n.Load(), most)
	}
}

// TestReload changes the policy in mid-load: when SetPolicy has returned, nobody is
// given what the policy does not let be held, and nothing of it is held.
func TestReload(t *testing.T) {
	never, hour := policy(t, `{match: "<pid>/a*", cache: never}`, `{match: "**", cache: 1h}`), policy(t, `{match: "**", cache: 1h}`)
	s := NewStore(StoreConfig{Policy: hour})
	defer s.Close()
	keys := make([]Key, 50)
	for i := range keys {
		keys[i] = Key{Process: Process{"n1", "b", 1 + i%5, 1}, Path: fmt.Sprint(string(rune('a'+i%2)), i)}
	}
	var changes, asked atomic.Int64 // even: hour is in force
	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				key := keys[i%len(keys)]
				before := changes.Load()
				mine := false
				v, err := s.Read(ctx, key, func(context.Context) ([]byte, error) {
					asked.Add(1)
					mine = true
					return []byte(key.Path), nil
				})
				if ctx.Err() != nil {
					return
				}
				if err != nil || string(v.Content) != key.Path {
					t.Errorf("%v: %q, %v", key, v.Content, err)
				}
				if after := changes.Load(); before == after && before%2 == 1 && strings.HasPrefix(key.Path, "a") && (!mine || v.Keep != 0) {
					t.Errorf("%v was not asked for under a policy that never holds it", key)
				}
			}
		})
	}
	for range 25 {
		s.SetPolicy(never)
		changes.Add(1)
		for _, key := range keys {
			if _, held := s.Cached(key); held && strings.HasPrefix(key.Path, "a") {
				t.Errorf("%v is held", key)
			}
		}
		n := asked.Load()
		eventually(t, "readers are at it", func() bool { return asked.Load() >= n+100 })
		changes.Add(1)
		s.SetPolicy(hour)
	}
	stop()
	all.Wait()
	sound(t, s)
}

// TestNoMixture stops SetPolicy between two shards: a reader of one that it has not
// come to yet is not answered by the old policy any more.
func TestNoMixture(t *testing.T) {
	s, _ := newTestStore(t, `{match: "**", cache: 1h}`)
	var node counter
	key, never := keyOf("status"), policy(t, `{match: "**", cache: never}`)
	read(t, s, key, node.fetch, "1")
	_, sh := s.shardOf(&key)
	sh.mu.Lock()
	var all sync.WaitGroup
	all.Go(func() { s.SetPolicy(never) })
	eventually(t, "the policy is in force", func() bool { return s.Policy() == never })
	all.Go(func() {
		if v, err := s.Read(t.Context(), key, node.fetch); err != nil || string(v.Content) != "2" {
			t.Errorf("%q, %v", v.Content, err)
		}
	})
	time.Sleep(10 * time.Millisecond) // what is wrong happens at once
	sh.mu.Unlock()
	all.Wait()
}

// TestAtOnce does everything to a small store from several goroutines, for the race
// detector, and for sound.
func TestAtOnce(t *testing.T) {
	small := policy(t, `{match: "**", cache: 1ms, stale: 1ms, negative: 1ms}`)
	small.MaxBytes, small.MaxEntry = 1<<20, 16<<10
	large := policy(t, `{match: "<pid>/*", cache: 1h}`)
	large.MaxBytes = 2 << 20
	s := NewStore(StoreConfig{Policy: small})
	defer s.Close()
	var all sync.WaitGroup
	for g := range uint64(6) {
		all.Go(func() {
			random := rand.New(rand.NewPCG(g, 2))
			for i := range 4000 {
				key := Key{Process: Process{"n1", "b", random.IntN(400), 1}, Path: "f" + strconv.Itoa(random.IntN(4))}
				ctx, cancel := context.WithCancel(t.Context())
				if random.IntN(10) == 0 {
					cancel()
				}
				switch n := random.IntN(100); {
				case n < 70:
					v, err := s.Read(ctx, key, func(context.Context) ([]byte, error) {
						if random := rand.IntN(3); random == 0 {
							return nil, [...]syscall.Errno{syscall.ENOENT, syscall.EHOSTDOWN, syscall.EIO}[rand.IntN(3)]
						}
						return append([]byte(key.Path+" "+strconv.Itoa(key.PID)+" "), make([]byte, rand.IntN(8<<10))...), nil
					})
					if err == nil && !strings.HasPrefix(string(v.Content), key.Path+" "+strconv.Itoa(key.PID)+" ") {
						t.Errorf("%v has %.20q", key, v.Content)
					}
				case n < 80:
					s.Put(key, s.Now(), []byte(key.Path+" "+strconv.Itoa(key.PID)+" "), nil)
				case n < 88:
					s.Lookup(key)
				case n < 94:
					s.DropProcess(key.Process)
				case n < 96:
					s.Table()
				case n < 97 && i%8 == 0:
					s.SetPolicy([]*Policy{small, large}[random.IntN(2)])
				case n < 98 && i%8 == 0:
					s.Expire()
				default:
					s.Cached(key)
				}
				cancel()
			}
		})
	}
	all.Wait()
	sound(t, s)
}
