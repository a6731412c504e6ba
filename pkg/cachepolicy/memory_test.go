package cachepolicy

import (
	"context"
	"encoding/binary"
	"fmt"
	"runtime"
	"testing"
	"weak"
)

// TestMemory offers many more keys than there is room for. The bench does this with
// ten million keys (cache-memory); a fiftieth of that fills the store too.
func TestMemory(t *testing.T) {
	const keys, limit = 200_000, 64 << 20
	p := policy(t, `{match: "**", cache: 1h}`)
	p.MaxBytes = limit
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	base, most := heap(), uint64(0)
	s := NewStore(StoreConfig{Policy: p})
	defer s.Close()
	for i := range keys {
		s.Put(Key{Process{"n1", "b", 1 + i, uint64(i)}, "environ", ""}, s.Now(), binary.LittleEndian.AppendUint64(nil, uint64(i)), nil)
		if i%(keys/5) == keys/5-1 {
			most = max(most, heap()-base)
		}
	}
	f := s.Figures()[0]
	if allowed := uint64(limit*5/4 + 32<<20); most > allowed {
		t.Errorf("the heap has grown by %d MiB, of %d", most>>20, allowed>>20)
	}
	if f.Bytes < limit*9/10 || f.Evicted != keys-f.Entries || uint64(f.Bytes) < most*8/10 {
		t.Errorf("%+v for %d MiB", f, most>>20)
	}
	sound(t, s)
}

// TestWhatStays reads some files again and again, and then very many once: the former
// stay. One that is asked for soon after it went stays, too, the next time.
func TestWhatStays(t *testing.T) {
	s, _ := newTestStore(t, `{match: "**", cache: 1h}`)
	small := policy(t, `{match: "**", cache: 1h}`)
	small.MaxBytes = 8 << 20
	s.SetPolicy(small)
	key := func(i int) Key { return Key{Process{"n1", "b", 1 + i, 1}, "environ", ""} }
	get := func(from, to int) {
		for i := from; i < to; i++ {
			if _, err := s.Read(t.Context(), key(i), func(context.Context) ([]byte, error) { return make([]byte, 512), nil }); err != nil {
				t.Fatal(err)
			}
		}
	}
	held := func(from, to int) (n int) {
		for i := from; i < to; i++ {
			if _, is := s.Cached(key(i)); is {
				n++
			}
		}
		return n
	}
	const hot, many = 1000, 40000
	get(0, hot)
	get(0, hot)
	get(hot, many)
	if n := held(0, hot); n < hot*9/10 {
		t.Errorf("of %d that were used twice %d are left", hot, n)
	}
	late := many - int(s.Figures()[0].Entries) - hot // these went a moment ago
	get(late, late+hot)
	get(many, 2*many)
	if n := held(late, late+hot); n < hot/2 {
		t.Errorf("of %d that were asked for again %d are left", hot, n)
	}
}

// TestNothingRemains wants that nothing refers any more to content that is never
// held, that a new policy does not hold, whose process has ended, that had to make
// room, and that was replaced.
func TestNothingRemains(t *testing.T) {
	never, hour := policy(t, `{match: "**", cache: never}`), policy(t, `{match: "**", cache: 1h}`)
	hour.MaxBytes = 4 << 20
	s := NewStore(StoreConfig{Policy: never})
	defer s.Close()
	var fetched weak.Pointer[byte]
	get := func() weak.Pointer[byte] {
		v, err := s.Read(t.Context(), keyOf("environ"), func(context.Context) ([]byte, error) {
			content := make([]byte, 4096)
			fetched = weak.Make(&content[0])
			return content, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return weak.Make(&v.Content[0])
	}
	remains := func(p weak.Pointer[byte]) bool {
		runtime.GC()
		return p.Value() != nil
	}
	if given := get(); remains(given) || remains(fetched) {
		t.Error("what is never held remains")
	}
	for what, drop := range map[string]func(){
		"is not held by a new policy": func() { s.SetPolicy(never) },
		"was of a process that ended": func() { s.DropProcess(keyOf("").Process) },
		"was of a node's last boot":   func() { s.DropNode("n1", "another") },
		"was replaced":                func() { s.Put(keyOf("environ"), s.Now(), nil, nil) },
		"had to make room": func() {
			for i := range 5000 {
				s.Put(keyOf(fmt.Sprint("f", i)), s.Now(), make([]byte, 4096), nil)
			}
		},
	} {
		s.SetPolicy(hour)
		s.DropNode("n1", "")
		given := get()
		if !remains(given) {
			t.Fatal("what is cached is not there")
		}
		if drop(); remains(given) || remains(fetched) {
			t.Errorf("what %s remains", what)
		}
	}
}
