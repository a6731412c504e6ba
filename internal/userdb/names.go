package userdb

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// Requested is the number of a user whose name a client chose, who is asked for on the
// account of the client's user; a number stands for itself. Nothing that decides about
// rights waits for it. While too many others are asked for it is ErrBusy.
func (d *DB) Requested(ctx context.Context, account uint32, name string) (uint32, error) {
	if n, ok := number(name); ok {
		return n, nil
	}
	if !validName(name) {
		return 0, fmt.Errorf("user %q: %w", name, ErrUnknown)
	}
	a, err := d.ask(ctx, d.requested, account, question{kind: userByName, key: name})
	return a.user.UID, err
}

// UserName is the name of a user by number, to show it, or the number where the database
// does not say. Nothing that decides about rights waits for it.
func (d *DB) UserName(uid uint32) string {
	q := question{kind: userByID, key: strconv.FormatUint(uint64(uid), 10)}
	if _, err := id(q.key); err != nil {
		return q.key
	}
	a, err := d.ask(context.Background(), d.shown, 0, q)
	if err != nil || !vfs.ValidName(a.user.Name) {
		return q.key
	}
	return a.user.Name
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
