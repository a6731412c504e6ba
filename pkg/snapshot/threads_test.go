package snapshot

import (
	"bytes"
	"slices"
	"syscall"
	"testing"
)

func TestThreads(t *testing.T) {
	want := []Thread{{TID: 1, Content: []byte("one\n")}, {TID: 7, Errno: syscall.ESRCH}, {TID: 4194304, Content: []byte{}}}
	var b []byte
	for _, th := range want {
		b = th.Append(b)
	}
	same := func(a, b Thread) bool {
		return a.TID == b.TID && a.Errno == b.Errno && bytes.Equal(a.Content, b.Content)
	}
	if got := slices.Collect(Threads(b)); !slices.EqualFunc(got, want, same) {
		t.Errorf("%v, want %v", got, want)
	}
	for n := range b { // a part is never more than what is whole in it
		if got := slices.Collect(Threads(b[:n])); !slices.EqualFunc(got, want[:len(got)], same) {
			t.Errorf("of %d bytes: %v", n, got)
		}
	}
	d := ThreadDir{1 << 60, 1001, 1002, 0o40555, 7, -5}
	if got, ok := ParseThreadDir(d.Append(nil)); !ok || got != d {
		t.Errorf("%v, want %v", got, d)
	}
	if _, ok := ParseThreadDir(d.Append(nil)[1:]); ok {
		t.Error("a part of a directory is one")
	}
	for file, want := range map[string]struct {
		name string
		ok   bool
	}{"task/*": {"", true}, "task/*/stat": {"stat", true}, "task/*stat": {"stat", false}, "task": {"task", false}, "stat": {"stat", false}} {
		if name, ok := ThreadFile(file); ok != want.ok || ok && name != want.name {
			t.Errorf("%s is of %q, %v", file, name, ok)
		}
	}
}

func FuzzThreads(f *testing.F) {
	f.Add(Thread{TID: 1, Content: []byte("one\n")}.Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		size := 0
		for th := range Threads(b) {
			if size += threadFixed + len(th.Content); th.TID <= 0 {
				t.Fatalf("thread %d", th.TID)
			}
			ParseThreadDir(th.Content)
		}
		if size > len(b) {
			t.Fatalf("%d bytes of %d", size, len(b))
		}
	})
}
