package lend

import (
	"errors"
	"reflect"
	"runtime"
	"testing"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

var borrower = vfs.Identity{UID: 1001, GID: 1002, Groups: []uint32{5, 6}}

// rights are those of the calling thread.
func rights(t *testing.T) *Own {
	t.Helper()
	own, err := ReadOwn()
	if err != nil {
		t.Fatal(err)
	}
	return own
}

// The thread has the borrower's rights while the call runs, and its own before and after,
// whatever the call does.
func TestAs(t *testing.T) {
	l := New(ReadOwn)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before := rights(t)
	failed := errors.New("failed")
	for what, end := range map[string]func() error{
		"it returns": func() error { return nil },
		"it fails":   func() error { return failed },
		"it panics":  func() error { panic("oh") },
	} {
		func() {
			defer func() { _ = recover() }()
			n, err := As(l, &borrower, func() (int, error) {
				lent := rights(t)
				if lent.UID != 1001 || lent.GID != 1002 || !reflect.DeepEqual(lent.Groups, borrower.Groups) || lent.caps[0].Effective|lent.caps[1].Effective != 0 {
					t.Errorf("%s: the borrower has %+v", what, lent)
				}
				return 7, end()
			})
			if n != 7 || err != nil && !errors.Is(err, failed) {
				t.Errorf("%s: %d, %v", what, n, err)
			}
		}()
		if after := rights(t); !reflect.DeepEqual(after, before) {
			t.Errorf("%s: %+v afterwards, %+v before", what, after, before)
		}
	}
	if l.OnSpoilt() {
		t.Error("the thread is taken for spoilt")
	}
}

// Rights that are not known are not lent.
func TestUnknownRights(t *testing.T) {
	failed := errors.New("failed")
	l := New(func() (*Own, error) { return nil, failed })
	if _, err := As(l, &borrower, func() (int, error) { t.Error("called"); return 0, nil }); !errors.Is(err, failed) {
		t.Error(err)
	}
}
