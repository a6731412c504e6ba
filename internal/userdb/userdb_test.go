package userdb

import (
	"errors"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var alice = User{Name: "alice", UID: 70001, GID: 70000}

func TestAnswers(t *testing.T) {
	f := newFake(t, Config{}, directory)
	ctx := t.Context()
	for _, name := range []string{"alice", "70001", "ALICE"} {
		if u, err := f.User(ctx, name); err != nil || u != alice {
			t.Errorf("%s: %+v, %v", name, u, err)
		}
	}
	if u, err := f.ByUID(ctx, 70001); err != nil || u != alice {
		t.Errorf("%+v, %v", u, err)
	}
	if groups, err := f.Groups(ctx, alice); err != nil || !slices.Equal(groups, []uint32{70002, 70003}) {
		t.Errorf("%v, %v", groups, err)
	}
	if groups, err := f.Groups(ctx, User{Name: "carol"}); err != nil || len(groups) != 0 {
		t.Errorf("%v, %v", groups, err)
	}
	for _, name := range []string{"hpc", "70002"} {
		if gid, err := f.Group(ctx, name); err != nil || gid != 70002 {
			t.Errorf("%s: %d, %v", name, gid, err)
		}
	}
}

func TestUnknown(t *testing.T) {
	f := newFake(t, Config{}, directory)
	ctx := t.Context()
	for _, name := range []string{"nosuch", "12345"} {
		if u, err := f.User(ctx, name); !errors.Is(err, ErrUnknown) || u != (User{}) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %+v, %v", name, u, err)
		}
		if _, err := f.Group(ctx, name); !errors.Is(err, ErrUnknown) {
			t.Errorf("group %s: %v", name, err)
		}
	}
	if _, err := f.ByUID(ctx, 1<<32-1); !errors.Is(err, ErrUnknown) {
		t.Error(err)
	}
}

// TestHostileNames asks for what must not reach a command line.
func TestHostileNames(t *testing.T) {
	f := newFake(t, Config{}, directory)
	for _, name := range []string{
		"", "-s", "--help", "-", "+alice", "+@all", " 0", "0 ", "\t0", "00", "007", "4294967295", "4294967296", "99999999999999999999",
		"alice:x", "alice\n", "al\x00ice", "a/b", "../etc", "\xff\xfe", "a\x1b[31m", "a\u0085b", strings.Repeat("a", 256),
	} {
		if _, err := f.User(t.Context(), name); !errors.Is(err, ErrUnknown) {
			t.Errorf("user %q: %v", name, err)
		}
		if _, err := f.Group(t.Context(), name); !errors.Is(err, ErrUnknown) {
			t.Errorf("group %q: %v", name, err)
		}
		if _, err := f.Groups(t.Context(), User{Name: name}); !errors.Is(err, ErrUnknown) {
			t.Errorf("groups %q: %v", name, err)
		}
	}
	if asked := f.runs(t); len(asked) > 0 {
		t.Errorf("asked for %q", asked)
	}
	odd := []string{`DOM\alice`, "alice@example.org", "domain users", "a-b", "$(id)", "`id`", "a;b", "*", "x%s", "ä"}
	for _, name := range odd {
		if _, err := f.User(t.Context(), name); !errors.Is(err, ErrUnknown) {
			t.Errorf("user %q: %v", name, err)
		}
	}
	var want []string
	for _, name := range odd {
		want = append(want, "2 passwd "+name)
	}
	if d := cmp.Diff(want, f.runs(t)); d != "" {
		t.Error(d)
	}
}

// TestFailures gets answers that are none.
func TestFailures(t *testing.T) {
	f := newFake(t, Config{}, directory)
	for name, want := range map[string]string{
		"badline": "no entry", "baduid": "no id", "nobodys": "nobody's", "70009": "for 70001", "evil": "no user's name", "broken": "no service",
	} {
		u, err := f.User(t.Context(), name)
		if err == nil || errors.Is(err, ErrUnknown) || u != (User{}) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %+v, %v", name, u, err)
		}
	}
	for _, name := range []string{"mallory", "eve"} {
		if g, err := f.Groups(t.Context(), User{Name: name}); err == nil || errors.Is(err, ErrUnknown) || g != nil {
			t.Errorf("%s: %v, %v", name, g, err)
		}
	}
	f = newFake(t, Config{}, "yes")
	if _, err := f.User(t.Context(), "alice"); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("endless output: %v", err)
	}
	gone := New(Config{Getent: "/nonexistent/getent"})
	gone.local = nobody
	if _, err := gone.User(t.Context(), "alice"); err == nil || errors.Is(err, ErrUnknown) {
		t.Errorf("a getent that is not there: %v", err)
	}
}

// TestLocalFirst asks no getent for what os/user knows.
func TestLocalFirst(t *testing.T) {
	f := newFake(t, Config{}, directory)
	f.local = osUser
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{me.Username, me.Uid} {
		if u, err := f.User(t.Context(), name); err != nil || u.Name != me.Username || strconv.Itoa(int(u.UID)) != me.Uid {
			t.Errorf("%s: %+v, %v", name, u, err)
		}
	}
	if gid, err := f.Group(t.Context(), me.Gid); err != nil || strconv.Itoa(int(gid)) != me.Gid {
		t.Errorf("%d, %v", gid, err)
	}
	if asked := f.runs(t); len(asked) > 0 {
		t.Errorf("asked for %q", asked)
	}
}

// TestWithoutGetent leaves os/user alone, with its words for what it does not
// know.
func TestWithoutGetent(t *testing.T) {
	for _, d := range []*DB{New(Config{}), newFake(t, Config{}, "exit 1").DB} { // as musl's has no initgroups
		d.local = osUser
		if d.cfg.Getent == "" || strings.HasPrefix(d.cfg.Getent, "/usr") {
			d.cfg.Getent = ""
			if _, err := d.User(t.Context(), "no-such-user"); !errors.Is(err, ErrUnknown) {
				t.Error(err)
			}
			if _, err := d.Group(t.Context(), "no-such-group"); !errors.Is(err, ErrUnknown) {
				t.Error(err)
			}
		}
		groups, err := d.Groups(t.Context(), User{Name: "root", GID: 0})
		if err != nil || slices.Contains(groups, 0) {
			t.Errorf("%v, %v", groups, err)
		}
	}
}

// TestRealGetent compares with this machine's files, through getent alone.
func TestRealGetent(t *testing.T) {
	d := New(Config{Timeout: 20 * time.Second})
	if d.cfg.Getent == "" {
		t.Fatal("this machine has no getent")
	}
	d.local = nobody
	passwd, err := os.ReadFile("/etc/passwd")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(passwd)), "\n")
	for _, line := range lines[:min(len(lines), 5)] {
		f := strings.Split(line, ":")
		byName, err1 := d.User(t.Context(), f[0])
		byID, err2 := d.User(t.Context(), f[2])
		if err1 != nil || err2 != nil || byName != byID || strconv.Itoa(int(byName.UID)) != f[2] || strconv.Itoa(int(byName.GID)) != f[3] {
			t.Errorf("%s: %+v, %v; %+v, %v", line, byName, err1, byID, err2)
		}
		u, err := user.Lookup(f[0])
		if err != nil {
			t.Fatal(err)
		}
		texts, err := u.GroupIds()
		if err != nil {
			t.Fatal(err)
		}
		all, err := ids(texts)
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(all)
		want := slices.DeleteFunc(slices.Compact(all), func(g uint32) bool { return g == byName.GID })
		if got, err := d.Groups(t.Context(), byName); err != nil || !slices.Equal(got, want) {
			t.Errorf("groups of %s: %v, %v; want %v", f[0], got, err, want)
		}
	}
	if _, err := d.User(t.Context(), "no-such-user-here"); !errors.Is(err, ErrUnknown) {
		t.Error(err)
	}
	if gid, err := d.Group(t.Context(), "root"); err != nil || gid != 0 {
		t.Errorf("%d, %v", gid, err)
	}
	if _, err := d.Group(t.Context(), "4000000123"); !errors.Is(err, ErrUnknown) {
		t.Error(err)
	}
}
