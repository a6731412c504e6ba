package userdb

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// madeUpHangs never answers about names that clients make up, and numbers from 90000 on.
const madeUpHangs = `case "$2" in x*|9????) exec sleep 1000 ;; esac
` + directory

// However many names a client makes up, who somebody is and what rules are for them is
// found out as ever: they wait for no turn, and what is known is not forgotten.
func TestMadeUpNames(t *testing.T) {
	f := newFake(t, Config{Timeout: 5 * time.Second, Processes: 1}, madeUpHangs)
	var wg sync.WaitGroup
	for i := range 500 {
		wg.Go(func() {
			if _, err := f.Requested(t.Context(), uint32(i), fmt.Sprint("x", i)); err == nil || errors.Is(err, ErrUnknown) {
				t.Errorf("x%d: %v", i, err)
			}
			if name := f.UserName(uint32(90000 + i)); name != fmt.Sprint(90000+i) {
				t.Errorf("%d is %q", 90000+i, name)
			}
		})
	}
	waitFor(t, "a question", func() bool { return len(f.requested.slots) == otherProcesses })
	if u, err := f.User(t.Context(), "alice"); err != nil || u != alice {
		t.Errorf("%+v, %v", u, err)
	}
	if groups, err := f.Groups(t.Context(), alice); err != nil || len(groups) != 2 {
		t.Errorf("%v, %v", groups, err)
	}
	wg.Wait()
	if f.rights.silence.open(f.cfg.Now()) {
		t.Error("the name service counts as silent")
	}
}

// One user's names leave room for another's, and what is too many is refused at once.
func TestBusy(t *testing.T) {
	f := newFake(t, Config{Timeout: 30 * time.Second}, blocked)
	var wg sync.WaitGroup
	ask := func(account uint32, name string) {
		wg.Go(func() {
			if _, err := f.Requested(t.Context(), account, name); !errors.Is(err, ErrUnknown) {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	underWay := func(n int) {
		t.Helper()
		waitFor(t, "the questions", func() bool {
			f.requested.mu.Lock()
			defer f.requested.mu.Unlock()
			return len(f.requested.inFlight) == n
		})
	}
	for i := range maxByAccount {
		ask(1001, fmt.Sprint("x", i))
	}
	underWay(maxByAccount)
	if _, err := f.Requested(t.Context(), 1001, "more"); !errors.Is(err, ErrBusy) {
		t.Errorf("one more: %v", err)
	}
	for i := range maxRequested - maxByAccount {
		ask(uint32(2000+i), fmt.Sprint("y", i))
	}
	underWay(maxRequested)
	if _, err := f.Requested(t.Context(), 1002, "alice"); !errors.Is(err, ErrBusy) {
		t.Errorf("one more of all: %v", err)
	}
	ask(1001, "x0") // that is asked already
	f.letGo(t)
	wg.Wait()
	if n, err := f.Requested(t.Context(), 1002, "alice"); err != nil || n != alice.UID {
		t.Errorf("%d, %v", n, err)
	}
	if l := f.requested; len(l.inFlight)+len(l.accounts) != 0 {
		t.Errorf("left: %v, %v", l.inFlight, l.accounts)
	}
}

// To wait for a turn says nothing of the name service.
func TestWaitIsNoFailure(t *testing.T) {
	f := newFake(t, Config{Processes: 1, Timeout: 50 * time.Millisecond}, directory)
	f.rights.slots <- struct{}{}
	for i := range 2 * breakAfter {
		if _, err := f.User(t.Context(), fmt.Sprint("user", i)); !errors.Is(err, ErrBusy) {
			t.Error(err)
		}
	}
	<-f.rights.slots
	f.cfg.Timeout = 30 * time.Second
	if u, err := f.User(t.Context(), "alice"); err != nil || u != alice {
		t.Errorf("%+v, %v", u, err)
	}
}

// Names that nobody has do not take the place of those that somebody has.
func TestUnknownEvictsNobody(t *testing.T) {
	f := newFake(t, Config{Entries: 5}, directory)
	for i := range 20 {
		if u, err := f.User(t.Context(), "alice"); err != nil || u != alice {
			t.Errorf("%+v, %v", u, err)
		}
		if n, err := f.Requested(t.Context(), 1, "alice"); err != nil || n != alice.UID {
			t.Errorf("%d, %v", n, err)
		}
		for _, ask := range []func(string) error{
			func(name string) error { _, err := f.User(t.Context(), name); return err },
			func(name string) error { _, err := f.Requested(t.Context(), 1, name); return err },
		} {
			if err := ask(fmt.Sprint("x", i)); !errors.Is(err, ErrUnknown) {
				t.Error(err)
			}
		}
	}
	n := 0
	for _, line := range f.runs(t) {
		if line == "2 passwd alice" {
			n++
		}
	}
	if n != 1 {
		t.Errorf("alice was asked for %d times", n)
	}
}

// What was known before a name service began to fail is good for a while; that there was
// nobody of a name is not.
func TestStale(t *testing.T) {
	f := newFake(t, Config{FailedAge: 2 * time.Second, StaleAge: 10 * time.Minute}, `[ -e $D/down ] && { echo down >&2; exit 7; }
`+directory)
	ctx := t.Context()
	known := func() error {
		u, err := f.User(ctx, "alice")
		groups, errGroups := f.Groups(ctx, alice)
		if err == nil && (u != alice || len(groups) != 2) {
			t.Errorf("%+v, %v", u, groups)
		}
		return errors.Join(err, errGroups)
	}
	if err := known(); err != nil {
		t.Fatal(err)
	}
	if _, err := f.User(ctx, "nosuch"); !errors.Is(err, ErrUnknown) {
		t.Fatal(err)
	}
	down := filepath.Join(f.dir, "down")
	if err := os.WriteFile(down, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	f.clock.add(2 * time.Minute)
	asked := len(f.runs(t))
	for range 3 {
		if err := known(); err != nil {
			t.Error(err)
		}
	}
	if n := len(f.runs(t)) - asked; n != 2 {
		t.Errorf("a service that fails was asked %d times", n)
	}
	if _, err := f.User(ctx, "nosuch"); err == nil || errors.Is(err, ErrUnknown) {
		t.Errorf("nobody before, and now %v", err)
	}
	if n, err := f.Requested(ctx, 1, "alice"); err != nil || n != alice.UID {
		t.Errorf("in another lane: %d, %v", n, err)
	}
	f.clock.add(9 * time.Minute)
	if err := known(); err == nil || errors.Is(err, ErrUnknown) {
		t.Errorf("after a long time: %v", err)
	}
	if err := os.Remove(down); err != nil {
		t.Fatal(err)
	}
	f.clock.add(time.Minute)
	if err := known(); err != nil {
		t.Error(err)
	}
}
