package userdb

import (
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// What a subordinate id holds is on its owner's account, where the database has one.
func TestPayer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "subuid")
	now := &clock{now: time.Now()}
	db := New(Config{Now: now.Now, SubUID: path, Getent: "/nonexistent"})
	users := map[string]uint32{"ann": 1001, "bob": 1002, "root": 0}
	db.local = nobody
	db.local.user = func(name string) (*user.User, error) {
		uid, ok := users[name]
		if !ok {
			return nil, user.UnknownUserError(name)
		}
		return &user.User{Username: name, Uid: strconv.Itoa(int(uid)), Gid: "1"}, nil
	}
	db.local.userID = func(uid string) (*user.User, error) {
		if n, _ := strconv.Atoi(uid); n < 0 || n >= 2000 {
			return nil, user.UnknownUserIdError(n)
		}
		return &user.User{Username: "u" + uid, Uid: uid, Gid: "1"}, nil
	}
	check := func(uid, owner uint32, named bool) {
		t.Helper()
		if got, ok := db.Payer(uid); got != owner || ok != named {
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
ann:0:5
`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	now.add(2 * grantsAge)
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
	now.add(2 * grantsAge)
	check(100000, 100000, false)
}
