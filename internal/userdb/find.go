package userdb

import (
	"context"
	"errors"
	"os/user"
)

// local is package os/user; tests put something else in its place.
type local struct {
	user, userID   func(string) (*user.User, error)
	group, groupID func(string) (*user.Group, error)
	groups         func(*user.User) ([]string, error)
}

var osUser = local{
	user: user.Lookup, userID: user.LookupId, group: user.LookupGroup, groupID: user.LookupGroupId,
	groups: (*user.User).GroupIds,
}

// find asks os/user and then getent.
func (d *DB) find(ctx context.Context, l *lane, q question) (answer, error) {
	if q.kind == groupsOf {
		a, err := d.getent(ctx, l, q)
		if errors.Is(err, errNoGetent) {
			return d.local.groupsOf(q.key)
		}
		return a, err
	}
	a, err := d.local.find(q)
	if err == nil {
		return a, nil
	}
	a, errGetent := d.getent(ctx, l, q)
	if errors.Is(errGetent, errNoGetent) {
		return answer{}, err
	}
	return a, errGetent
}

// find asks for one entry.
func (l local) find(q question) (a answer, err error) {
	switch q.kind {
	case userByName, userByID:
		lookup := l.user
		if q.kind == userByID {
			lookup = l.userID
		}
		u, err := lookup(q.key)
		if err != nil {
			return a, known(err)
		}
		a.user, err = newUser(u.Username, u.Uid, u.Gid)
		return a, err
	default:
		lookup := l.group
		if q.kind == groupByID {
			lookup = l.groupID
		}
		g, err := lookup(q.key)
		if err != nil {
			return a, known(err)
		}
		a.gid, err = id(g.Gid)
		return a, err
	}
}

// groupsOf are the groups of a user, as far as os/user knows.
func (l local) groupsOf(name string) (a answer, err error) {
	u, err := l.user(name)
	if err != nil {
		return a, known(err)
	}
	texts, err := l.groups(u)
	if err != nil {
		return a, err
	}
	a.groups, err = ids(texts)
	return a, err
}

// known is an error of package os/user in the words of this one.
func known(err error) error {
	var (
		name    user.UnknownUserError
		uid     user.UnknownUserIdError
		group   user.UnknownGroupError
		groupID user.UnknownGroupIdError
	)
	if errors.As(err, &name) || errors.As(err, &uid) || errors.As(err, &group) || errors.As(err, &groupID) {
		return ErrUnknown
	}
	return err
}
