package userdb

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// A name service that hangs costs two questions their time, and all others none, until
// it is asked again; what is cached is answered meanwhile.
func TestSilentService(t *testing.T) {
	f := newFake(t, Config{Timeout: 30 * time.Second, FailedAge: 2 * time.Second}, `[ -e $D/hang ] && exec sleep 1000
`+directory)
	if _, err := f.User(t.Context(), "alice"); err != nil {
		t.Fatal(err)
	}
	hang := filepath.Join(f.dir, "hang")
	if err := os.WriteFile(hang, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	f.cfg.Timeout = 100 * time.Millisecond
	asked := len(f.runs(t))
	for i := range 100 {
		if name := f.UserName(uint32(50000 + i)); name != fmt.Sprint(50000+i) {
			t.Errorf("%d is %q", 50000+i, name)
		}
	}
	if n := len(f.runs(t)) - asked; n > breakAfter {
		t.Errorf("%d questions were asked of a service that hangs", n)
	}
	for i := range breakAfter {
		if _, err := f.User(t.Context(), fmt.Sprint("nosuch", i)); err == nil || errors.Is(err, ErrUnknown) {
			t.Errorf("while it is silent: %v", err)
		}
	}
	if _, err := f.User(t.Context(), "nosuch"); !errors.Is(err, errSilent) || errors.Is(err, ErrUnknown) {
		t.Errorf("while it is silent: %v", err)
	}
	if u, err := f.User(t.Context(), "alice"); err != nil || u != alice {
		t.Errorf("what is cached: %+v, %v", u, err)
	}
	if err := os.Remove(hang); err != nil {
		t.Fatal(err)
	}
	f.cfg.Timeout = 30 * time.Second
	f.clock.add(2 * time.Second)
	if _, err := f.User(t.Context(), "nosuch"); !errors.Is(err, ErrUnknown) {
		t.Errorf("after its rest: %v", err)
	}
}

func TestSubordinate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "subuid")
	f := newFake(t, Config{SubUID: path, SubGID: path + ".none"}, directory)
	write := func(text string) {
		t.Helper()
		if err := errors.Join(os.WriteFile(path+".new", []byte(text), 0o644), os.Rename(path+".new", path)); err != nil {
			t.Fatal(err)
		}
		f.clock.add(grantsAge)
	}
	is := func(id uint32, want string) {
		t.Helper()
		if owner, ok := f.Subordinate(id); owner != want || ok != (want != "") {
			t.Errorf("%d is %q's (%v), want %q", id, owner, ok, want)
		}
	}
	is(100000, "")
	write("# nobody's\n\nann:100000:65536\n1002:165536:65536\nodd:1:2:3\nodd:x:1\nodd:5:0\n:7:1\nlast:4294967290:100")
	for id, want := range map[uint32]string{
		99999: "", 100000: "ann", 165535: "ann", 165536: "1002", 231071: "1002", 231072: "", 1: "", 5: "", 7: "", 4294967289: "", 4294967295: "last",
	} {
		is(id, want)
	}
	write("ann:200000:1\n")
	is(100000, "")
	is(200000, "ann")
	if owner, ok := f.SubordinateGroup(200000); ok {
		t.Errorf("a group's number is %s's", owner)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	f.clock.add(grantsAge)
	is(200000, "")
}

func TestListedNames(t *testing.T) {
	f := newFake(t, Config{}, `case "$1 $2" in "passwd ") echo "zoe:*:1:1::/:"; echo "-x:*:2:2::/:"; echo odd ;; *) exit 2 ;; esac`)
	if names := f.list(t.Context(), "passwd"); !slices.Contains(names, "zoe") || !slices.Contains(names, "root") || slices.Contains(names, "-x") || slices.Contains(names, "odd") {
		t.Errorf("%q", names)
	}
	if names := f.list(t.Context(), "group"); !slices.Contains(names, "root") {
		t.Errorf("%q", names)
	}
}
