package cachepolicy

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestExpiry(t *testing.T) {
	s, clock := newTestStore(t, `{match: "<pid>/status", cache: 1s}`, `{match: "<pid>/exe", cache: lifetime}`)
	var node counter
	status := keyOf("status")
	if v := read(t, s, status, node.fetch, "1"); v.Age != 0 || v.Keep != time.Second || v.Stale {
		t.Errorf("%+v", v)
	}
	clock.Add(999 * time.Millisecond)
	if v := read(t, s, status, node.fetch, "1"); v.Age != 999*time.Millisecond || v.Keep != time.Millisecond {
		t.Errorf("%+v", v)
	}
	clock.Add(time.Millisecond)
	read(t, s, status, node.fetch, "2")

	read(t, s, keyOf("exe"), node.fetch, "3")
	clock.Add(10000 * time.Hour)
	if v := read(t, s, keyOf("exe"), node.fetch, "3"); v.Keep != Forever {
		t.Errorf("%+v", v)
	}
	if v, held, err := s.Lookup(status); held || err != nil {
		t.Errorf("after a year there is %+v", v)
	}
	if v, held, err := s.Lookup(keyOf("exe")); !held || err != nil || string(v.Content) != "3" {
		t.Errorf("%+v, %v, %v", v, held, err)
	}
}

// Who cannot wait until it is certain that a node does not answer gets what may be shown
// then, and no error.
func TestStaleAtOnce(t *testing.T) {
	s, clock := newTestStore(t, `{match: "<pid>/status", cache: 1s, stale: 4s, negative: 1m}`)
	var node counter
	key := keyOf("status")
	if v, ok := s.Stale(key); ok {
		t.Errorf("of nothing there is %+v", v)
	}
	read(t, s, key, node.fetch, "1")
	for _, tc := range []struct {
		after     time.Duration
		ok, stale bool
	}{{999 * time.Millisecond, true, false}, {time.Millisecond, true, true}, {4*time.Second - 1, true, true}, {1, false, false}} {
		clock.Add(tc.after)
		if v, ok := s.Stale(key); ok != tc.ok || v.Stale != tc.stale || ok && string(v.Content) != "1" || v.Stale && v.Keep != 0 {
			t.Errorf("%v later: %v, %+v", tc.after, ok, v)
		}
	}
	s.Put(key, s.Now(), nil, syscall.EACCES)
	if v, ok := s.Stale(key); ok {
		t.Errorf("of an error there is %+v", v)
	}
}

// The age of a value counts from before the node was asked, however long it took.
func TestSlowNode(t *testing.T) {
	s, clock := newTestStore(t, `{match: "<pid>/status", cache: 1s}`)
	v := read(t, s, keyOf("status"), func(context.Context) ([]byte, error) {
		clock.Add(1500 * time.Millisecond)
		return []byte("slow"), nil
	}, "slow")
	if v.Age != 1500*time.Millisecond || v.Keep != 0 {
		t.Errorf("%+v", v)
	}
	if _, held := s.Cached(keyOf("status")); held {
		t.Error("what was too old on its arrival is held")
	}
}

func TestNever(t *testing.T) {
	s, _ := newTestStore(t, `{match: "<pid>/maps", cache: never}`)
	var node counter
	for i := range 3 {
		if v := read(t, s, keyOf("maps"), node.fetch, fmt.Sprint(i+1)); v.Keep != 0 {
			t.Errorf("%+v", v)
		}
		s.Put(keyOf("maps"), s.Now(), []byte("put"), nil)
		if _, held := s.Cached(keyOf("maps")); held {
			t.Fatal("maps are held")
		}
	}
	if f := s.Figures()[0]; f.Misses != 3 || f.Hits != 0 || f.Entries != 0 {
		t.Errorf("%+v", f)
	}
}

func TestStale(t *testing.T) {
	s, clock := newTestStore(t, `{match: "<pid>/status", cache: 1s, stale: 10s}`)
	var node counter
	key := keyOf("status")
	down := failing(fmt.Errorf("node n1: %w", syscall.EHOSTDOWN))
	read(t, s, key, node.fetch, "1")
	clock.Add(5 * time.Second)
	if v := read(t, s, key, down, "1"); !v.Stale || v.Age != 5*time.Second || v.Keep != 0 {
		t.Errorf("%+v", v)
	}
	// Something else that goes wrong says nothing about the node.
	if _, err := s.Read(t.Context(), key, failing(syscall.EIO)); !errors.Is(err, syscall.EIO) {
		t.Errorf("EIO is %v", err)
	}
	clock.Add(6 * time.Second)
	if v, err := s.Read(t.Context(), key, down); !errors.Is(err, syscall.EHOSTDOWN) {
		t.Errorf("after cache and stale: %+v, %v", v, err)
	}
	// What the node answers replaces what it answered before.
	read(t, s, key, node.fetch, "2")
	clock.Add(2 * time.Second)
	if _, err := s.Read(t.Context(), key, failing(syscall.ENOENT)); !errors.Is(err, syscall.ENOENT) {
		t.Errorf("ENOENT is %v", err)
	}
	if v, err := s.Read(t.Context(), key, down); !errors.Is(err, syscall.EHOSTDOWN) {
		t.Errorf("after ENOENT: %+v, %v", v, err)
	}
	if f := s.Figures()[0]; f.Stale != 1 || f.Misses != 7 {
		t.Errorf("%+v", f)
	}
}

func TestNegative(t *testing.T) {
	s, clock := newTestStore(t, `{match: "<pid>/environ", cache: 5s, stale: 1m, negative: 1s}`)
	key := keyOf("environ")
	v, err := s.Read(t.Context(), key, failing(fmt.Errorf("open: %w", syscall.EACCES)))
	if !errors.Is(err, syscall.EACCES) || v.Keep != time.Second {
		t.Fatal(v, err)
	}
	clock.Add(900 * time.Millisecond)
	v, err = s.Read(t.Context(), key, func(context.Context) ([]byte, error) { t.Error("asked again"); return nil, nil })
	if err != syscall.EACCES || v.Keep != 100*time.Millisecond {
		t.Error(v, err)
	}
	clock.Add(100 * time.Millisecond)
	// An error is not shown as stale.
	if _, err := s.Read(t.Context(), key, failing(syscall.ETIMEDOUT)); err != syscall.ETIMEDOUT {
		t.Error(err)
	}
	read(t, s, key, func(context.Context) ([]byte, error) { return []byte("x"), nil }, "x")
}

// TestKeys has a pid that is used again, a node that was booted again, another
// user, another thread.
func TestKeys(t *testing.T) {
	s, _ := newTestStore(t, `{match: "**", cache: lifetime}`)
	var node counter
	base := Key{Process: Process{"n1", "b1", 12, 100}, Path: "environ", Reader: "1001"}
	keys := []Key{base}
	for _, change := range []func(*Key){
		func(k *Key) { k.Start = 101 }, func(k *Key) { k.Boot = "b2" }, func(k *Key) { k.Node = "n2" }, func(k *Key) { k.PID = 13 },
		func(k *Key) { k.Reader = "1002" }, func(k *Key) { k.Path = "task/12/environ" }, func(k *Key) { k.PID = 0 },
	} {
		k := base
		change(&k)
		keys = append(keys, k)
	}
	for range 2 {
		for i, k := range keys {
			read(t, s, k, node.fetch, fmt.Sprint(i+1))
		}
	}
	s.DropProcess(base.Process)
	for i, k := range keys {
		_, held := s.Cached(k)
		if gone := k.Process == base.Process; held == gone {
			t.Errorf("%d, %v: held is %v", i, k, held)
		}
	}
	s.DropNode("n1", "b2")
	for i, k := range keys {
		if _, held := s.Cached(k); held != (k.Node == "n2" || k.Boot == "b2") {
			t.Errorf("after n1 was booted again, %d, %v: held is %v", i, k, held)
		}
	}
	s.DropNode("n1", "")
	if f := s.Figures()[0]; f.Entries != 1 {
		t.Errorf("%+v", f)
	}
}

// What is cached is a copy of its own: nobody who has the bytes that were fetched can
// change it, and it keeps no larger buffer alive.
func TestCopies(t *testing.T) {
	s, _ := newTestStore(t, `{match: "**", cache: 1h}`)
	buffer := []byte(strings.Repeat("a", 4096))
	v, err := s.Read(t.Context(), keyOf("environ"), func(context.Context) ([]byte, error) { return buffer[:10], nil })
	if err != nil {
		t.Fatal(err)
	}
	buffer[0] = 'b'
	if string(v.Content) != "aaaaaaaaaa" || cap(v.Content) > 32 {
		t.Errorf("%q, of %d bytes", v.Content, cap(v.Content))
	}
}

func TestMaxEntry(t *testing.T) {
	p, err := Parse("p", []byte("version: 1\nmax_bytes: 1MiB\nmax_entry: 16KiB\nrules: [{match: '**', cache: 1h}]"))
	if err != nil {
		t.Fatal(err)
	}
	s := NewStore(StoreConfig{Policy: p})
	defer s.Close()
	for size, want := range map[int]bool{1000: true, 16 << 10: true, 16<<10 + 1: false, 2 << 20: false} {
		key := keyOf(fmt.Sprint("file", size))
		content := make([]byte, size)
		if v, err := s.Read(t.Context(), key, func(context.Context) ([]byte, error) { return content, nil }); err != nil || len(v.Content) != size {
			t.Fatal(len(v.Content), err)
		}
		if _, held := s.Cached(key); held != want {
			t.Errorf("%d bytes: held is %v", size, held)
		}
	}
	sound(t, s)
}

func TestHeld(t *testing.T) {
	s, clock := newTestStore(t, `{match: "<pid>/status", cache: 10s, negative: 10s}`)
	var node counter
	for range 6 {
		read(t, s, keyOf("status"), node.fetch, "1")
	}
	clock.Add(3 * time.Second)
	if info, held := s.Cached(keyOf("status")); !held || info.Size != 1 || info.Age != 3*time.Second || info.Hits != 5 || info.Err != nil {
		t.Errorf("%+v, %v", info, held)
	}
	s.Put(keyOf("status"), s.Now(), nil, syscall.ESRCH)
	if info, held := s.Cached(keyOf("status")); !held || info.Err != syscall.ESRCH {
		t.Errorf("%+v, %v", info, held)
	}
	lines := strings.Split(string(s.Table()), "\n")
	if f := strings.Fields(lines[1]); len(lines) != 4 || strings.Join(f, " ") != "3 10s 0s no 5 1 0 0 0 1 "+f[10]+" - <pid>/status" {
		t.Errorf("%q", lines)
	}
	clock.Add(time.Minute)
	s.Expire()
	if f := s.Figures()[0]; f.Entries != 0 || f.Bytes != 0 {
		t.Errorf("%+v", f)
	}
}

// A newer answer is not replaced by an older one that comes later.
func TestOlderAnswer(t *testing.T) {
	s, clock := newTestStore(t, `{match: "<pid>/status", cache: 10s}`)
	before := s.Now()
	clock.Add(time.Second)
	s.Put(keyOf("status"), s.Now(), []byte("new"), nil)
	s.Put(keyOf("status"), before, []byte("old"), nil)
	read(t, s, keyOf("status"), failing(syscall.EIO), "new")
}

func TestClosed(t *testing.T) {
	s := NewStore(StoreConfig{})
	s.Put(keyOf("status"), s.Now(), []byte("x"), nil)
	s.Close()
	s.Put(keyOf("status"), s.Now(), []byte("x"), nil)
	if _, err := s.Read(t.Context(), keyOf("status"), failing(nil)); err != syscall.ESHUTDOWN {
		t.Error(err)
	}
}
