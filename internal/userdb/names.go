package userdb

import (
	"context"
	"errors"
	"strconv"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// The methods below are for who needs an answer rather than a reason: a question
// that fails is answered like one about somebody who does not exist.

// UID is the number of a user by name; a number stands for itself.
func (d *DB) UID(name string) (uint32, bool) {
	if n, ok := number(name); ok {
		return n, true
	}
	u, err := d.User(context.Background(), name)
	return u.UID, err == nil
}

// GID is the number of a group by name; a number stands for itself.
func (d *DB) GID(name string) (uint32, bool) {
	if n, ok := number(name); ok {
		return n, true
	}
	gid, err := d.Group(context.Background(), name)
	return gid, err == nil
}

// UserName is the name of a user by number, or the number.
func (d *DB) UserName(uid uint32) string {
	u, err := d.ByUID(context.Background(), uid)
	if err != nil || !vfs.ValidName(u.Name) {
		return strconv.FormatUint(uint64(uid), 10)
	}
	return u.Name
}

// Identity is a user, by name or number, with all groups. One who is not in the
// user database and was named by number has the overflow group and no other; the
// superuser is who they are wherever they are.
func (d *DB) Identity(ctx context.Context, nameOrNumber string) (vfs.Identity, error) {
	u, err := d.User(ctx, nameOrNumber)
	if uid, ok := number(nameOrNumber); ok && errors.Is(err, ErrUnknown) {
		u, err = User{UID: uid, GID: vfs.OverflowID}, nil
	}
	if err != nil {
		return vfs.Identity{}, err
	}
	if u.UID == vfs.Root.UID {
		return vfs.Root, nil
	}
	who := vfs.Identity{UID: u.UID, GID: u.GID}
	if u.Name != "" {
		if who.Groups, err = d.Groups(ctx, u); err != nil {
			return vfs.Identity{}, err
		}
	}
	return who, nil
}
