package cachepolicy

import (
	"context"
	"strconv"
	"testing"
)

func BenchmarkRule(b *testing.B) {
	p := Default()
	for _, path := range []string{"12345/status", "12345/environ", "12345/task/12345/stat", "meminfo"} {
		b.Run(path, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				p.Rule("n1", path)
			}
		})
	}
}

func benchKey(i int) Key {
	return Key{Process{"n" + strconv.Itoa(i%128), "6d0b6a2e-5f2f-4a54-8b46-0c1ab0b1b3f1", 1000 + i, uint64(i)}, "environ", "1001,1001,50"}
}

func BenchmarkRead(b *testing.B) {
	s := NewStore(StoreConfig{})
	defer s.Close()
	key := benchKey(1)
	fetch := func(context.Context) ([]byte, error) { return make([]byte, 1300), nil }
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Read(b.Context(), key, fetch); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPut(b *testing.B) {
	p := policy(b, "{match: '**', cache: 1h}")
	p.MaxBytes = 64 << 20
	s := NewStore(StoreConfig{Policy: p})
	defer s.Close()
	content := []byte("12345678")
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		s.Put(benchKey(i), s.Now(), content, nil)
	}
}
