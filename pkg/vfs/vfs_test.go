package vfs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestErrno(t *testing.T) {
	for want, err := range map[syscall.Errno]error{
		0:                 nil,
		syscall.ENOENT:    Missing{time.Second},
		syscall.ESRCH:     fmt.Errorf("gone: %w", syscall.ESRCH),
		syscall.EINTR:     fmt.Errorf("x: %w", context.Canceled),
		syscall.ETIMEDOUT: context.DeadlineExceeded,
		syscall.EACCES:    &fs.PathError{Op: "open", Err: fs.ErrPermission},
		syscall.EINVAL:    fs.ErrInvalid,
		syscall.EIO:       errors.New("something else"),
	} {
		if got := Errno(err); got != want {
			t.Errorf("Errno(%v) = %v, want %v", err, got, want)
		}
	}
	if got := Errno(fs.ErrNotExist); got != syscall.ENOENT {
		t.Errorf("ErrNotExist is %v", got)
	}
}

func TestValidName(t *testing.T) {
	for name, want := range map[string]bool{
		"a": true, "n1:12": true, "...": true, strings.Repeat("x", MaxName): true,
		"": false, ".": false, "..": false, "a/b": false, "a\x00": false, strings.Repeat("x", MaxName+1): false,
	} {
		if ValidName(name) != want {
			t.Errorf("ValidName(%q) is not %v", name, want)
		}
	}
}

func TestIdentity(t *testing.T) {
	all := []Identity{{}, {UID: 1}, {GID: 1}, {UID: 1, GID: 1}, {UID: 11}, {UID: 1, Groups: []uint32{1}}, {UID: 1, Groups: []uint32{1, 2}}, {UID: 1, Groups: []uint32{12}},
		{Cert: "a"}, {Cert: "a\x00"}, {Cert: `a\x00`}, {Cert: "\xff"}, {Cert: "\ufffd"}, {Cert: ",1"}, {Groups: []uint32{1}, Cert: "a"}, {Cert: `"`}, {Cert: `@"a"`},
		{UID: OverflowID, GID: OverflowID}, {UID: OverflowID, GID: OverflowID, Cert: "a"}}
	for i, a := range all {
		for k, b := range all {
			if same := i == k; (a.Key() == b.Key()) != same || a.Equal(b) != same {
				t.Errorf("%v and %v", a, b)
			}
		}
		if strings.Contains(a.Key(), "\x00") {
			t.Errorf("%q has a NUL", a.Key())
		}
	}
	if !Root.IsRoot() || (Identity{UID: 1}).IsRoot() {
		t.Error("root is not uid 0")
	}
}

// A listing resumes behind any entry, whatever came and went meanwhile, and is
// read anew from the start only.
func TestListing(t *testing.T) {
	loads := 0
	var now []DirEntry
	l := NewListing(func(context.Context) ([]DirEntry, error) {
		loads++
		return now, nil
	})
	entries := func(offsets ...uint64) (all []DirEntry) {
		for _, o := range offsets {
			all = append(all, DirEntry{Name: fmt.Sprint(o), Next: o})
		}
		return all
	}
	read := func(offset uint64, most int) string {
		got, err := l.ReadDir(t.Context(), offset, nil, most)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, e := range got {
			names = append(names, e.Name)
		}
		return strings.Join(names, " ")
	}
	now = entries(2, 4, 6, 8)
	for _, step := range []struct {
		offset uint64
		max    int
		want   string
	}{{0, 2, "2 4"}, {4, 10, "6 8"}, {8, 10, ""}, {5, 1, "6"}, {2, 0, ""}} {
		if got := read(step.offset, step.max); got != step.want {
			t.Errorf("from %d: %q, want %q", step.offset, got, step.want)
		}
	}
	now = entries(4, 5)
	if got := read(4, 10); got != "6 8" || loads != 1 {
		t.Errorf("resumed: %q after %d loads", got, loads)
	}
	if got := read(0, 10); got != "4 5" || loads != 2 {
		t.Errorf("anew: %q after %d loads", got, loads)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if !l.lock.TryAcquire(1) {
		t.Fatal("a reader has gone and is still at it")
	}
	if _, err := l.ReadDir(ctx, 0, nil, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("a reader that waits for another: %v", err)
	}
}

// reads is a handle that is no Held.
type reads struct{ *Bytes }

func (reads) Content() {} // hides that of Bytes

func TestReadAll(t *testing.T) {
	for _, size := range []int{0, 1, 4095, 4096, 4097, 100000} {
		content := []byte(strings.Repeat("x", size))
		for name, h := range map[string]Handle{"held": NewBytes(content, 0), "read": reads{NewBytes(content, 0)}} {
			if got, err := ReadAll(t.Context(), h, size); err != nil || len(got) != size {
				t.Errorf("%s: %d of %d bytes, %v", name, len(got), size, err)
			}
			if _, err := ReadAll(t.Context(), h, size-1); size > 0 && err != syscall.EFBIG {
				t.Errorf("%s: one byte too many: %v", name, err)
			}
		}
	}
}

func TestBytes(t *testing.T) {
	a, b, c := NewBytes([]byte("one"), 1), NewBytes([]byte("one"), 2), NewBytes([]byte("two"), 1)
	if a.Version() != b.Version() || a.Version() == c.Version() || NewBytes([]byte("one"), 0).Version() != 0 {
		t.Error("a version does not tell contents apart, or is known of what may not be kept")
	}
	for _, off := range []int64{-1, 3, 1 << 40} {
		if n, err := a.ReadAt(t.Context(), make([]byte, 4), off); n != 0 || err != nil {
			t.Errorf("at %d: %d, %v", off, n, err)
		}
	}
}
