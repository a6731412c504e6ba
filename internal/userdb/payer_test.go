package userdb

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestPayer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "subuid")
	users := map[string]uint32{"ann": 1001, "bob": 1002, "1003": 1003, "root": 0}
	p := NewPayer(path, func(name string) (uint32, bool) {
		uid, ok := users[name]
		return uid, ok
	}, func(uid uint32) bool { return uid < 2000 })
	check := func(uid, owner uint32, named bool) {
		t.Helper()
		if got, ok := p.Of(uid); got != owner || ok != named {
			t.Errorf("%d: %d %v, not %d %v", uid, got, ok, owner, named)
		}
	}
	check(1001, 1001, true)
	check(100000, 100000, false)
	text := `ann:100000:65536
bob:165536:65536
# a line
1003:300000:1
gone:400000:10
root:500000:10
bob:100010:5
ann:x:5
ann:4294967295:2
ann:0:5
`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p.asked = time.Time{} // as after a while
	for _, tt := range []struct {
		uid, owner uint32
		named      bool
	}{
		{1001, 1001, true}, {99999, 99999, false}, {100000, 1001, true}, {100012, 1001, true}, {165535, 1001, true},
		{165536, 1002, true}, {231071, 1002, true}, {231072, 231072, false}, {300000, 1003, true}, {300001, 300001, false},
		{400005, 400005, false}, {500005, 500005, false}, {0, 0, true}, {4294967295, 4294967295, false},
	} {
		check(tt.uid, tt.owner, tt.named)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	p.asked = time.Time{}
	check(100000, 100000, false)
	if got := parseSubuid(strings.NewReader(strings.Repeat("x", 1<<20) + "\nann:5:5\n")); len(got) > 1 {
		t.Errorf("%v", got)
	}
}
