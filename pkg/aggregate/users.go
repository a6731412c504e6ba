package aggregate

import (
	"context"
	"os/user"
	"strconv"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// users resolves user names by the user database of this machine and keeps the
// answers for a while, "no such user" too.
type users struct {
	now    func() time.Time
	byName *lru.Cache[string, userAnswer]
	byID   *lru.Cache[uint32, userAnswer]
}

type userAnswer struct {
	name    string
	uid     uint32
	ok      bool
	expires time.Time
}

const (
	usersKept = 4096
	userAge   = time.Minute
)

// NewUsers resolves names by the files of the user database. now is the clock.
func NewUsers(now func() time.Time) *users {
	byName, _ := lru.New[string, userAnswer](usersKept) // fails for a size below 1 only
	byID, _ := lru.New[uint32, userAnswer](usersKept)
	return &users{now: now, byName: byName, byID: byID}
}

// UID implements access.Names.
func (u *users) UID(name string) (uint32, bool) {
	if n, err := strconv.ParseUint(name, 10, 32); err == nil {
		return uint32(n), strconv.FormatUint(n, 10) == name
	}
	now := u.now()
	if a, ok := u.byName.Get(name); ok && now.Before(a.expires) {
		return a.uid, a.ok
	}
	a := userAnswer{name: name, expires: now.Add(userAge)}
	if found, err := user.Lookup(name); err == nil {
		if n, err := strconv.ParseUint(found.Uid, 10, 32); err == nil {
			a.uid, a.ok = uint32(n), true
		}
	}
	u.byName.Add(name, a)
	return a.uid, a.ok
}

// GID implements access.Names.
func (u *users) GID(name string) (uint32, bool) {
	if n, err := strconv.ParseUint(name, 10, 32); err == nil {
		return uint32(n), strconv.FormatUint(n, 10) == name
	}
	found, err := user.LookupGroup(name)
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseUint(found.Gid, 10, 32)
	return uint32(n), err == nil
}

// UserName implements access.Names.
func (u *users) UserName(uid uint32) string {
	now := u.now()
	if a, ok := u.byID.Get(uid); ok && now.Before(a.expires) {
		return a.name
	}
	a := userAnswer{name: strconv.FormatUint(uint64(uid), 10), uid: uid, expires: now.Add(userAge)}
	if found, err := user.LookupId(a.name); err == nil && vfs.ValidName(found.Username) {
		a.name = found.Username
	}
	u.byID.Add(uid, a)
	return a.name
}

// newUsersDir makes users/: at the top of the tree it lists the users who have
// processes in the view; any user can be walked.
func newUsersDir(v *view, id uint64) vfs.Node {
	return &madeDir{made: v.c.made, id: id, walk: func(_ context.Context, name string) (vfs.Node, error) {
		sub, err := v.ofUser(name)
		if err != nil {
			return nil, err
		}
		return &root{sub}, nil
	}, list: func(ctx context.Context) ([]vfs.DirEntry, error) {
		if v.path != "" {
			return nil, nil
		}
		seen := map[uint32]bool{}
		for _, t := range v.c.sweep(ctx, v.nodes()) {
			if t == nil {
				continue
			}
			for i := range t.Len() {
				if uid := t.Proc(i).UID; v.sees(uid) {
					seen[uid] = true
				}
			}
		}
		all := make([]vfs.DirEntry, 0, len(seen))
		for uid := range seen {
			all = append(all, namedEntry(id, v.c.users.UserName(uid), vfs.TypeDir))
		}
		return sortEntries(all), nil
	}}
}

// newSetsDir makes sets/: at the top of the tree it lists each node as the set
// of itself; any nodeset within the view can be walked.
func newSetsDir(v *view, id uint64) vfs.Node {
	return &madeDir{made: v.c.made, id: id, walk: func(_ context.Context, name string) (vfs.Node, error) {
		sub, err := v.set(name)
		if err != nil {
			return nil, err
		}
		return &root{sub}, nil
	}, list: func(context.Context) ([]vfs.DirEntry, error) {
		return v.nodeEntries(id), nil
	}}
}
