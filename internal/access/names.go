package access

import (
	"context"
	"errors"
	"slices"

	"github.com/aggrfs/aggrfs/internal/userdb"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// Names is the user database; [userdb.DB] is one. Its methods may be called
// concurrently and answer soon. Errors are as there: only userdb.ErrUnknown says that
// there is nobody.
type Names interface {
	// Requested is the number of a user whose name the client of a user, account, chose;
	// userdb.ErrBusy while too many are asked for. A number stands for itself.
	Requested(ctx context.Context, account uint32, name string) (uint32, error)
	// UserName is the name of a user by number, to show it, or the number.
	UserName(uid uint32) string
	// User is a user by name or number.
	User(ctx context.Context, nameOrNumber string) (userdb.User, error)
	// ByUID is a user by number.
	ByUID(ctx context.Context, uid uint32) (userdb.User, error)
	// Groups are the supplementary groups of a user.
	Groups(ctx context.Context, u userdb.User) ([]uint32, error)
	// Group is the number of a group by name or number.
	Group(ctx context.Context, nameOrNumber string) (uint32, error)
	// Identity is a user with all groups, or the number of one who is in no database.
	Identity(ctx context.Context, nameOrNumber string) (vfs.Identity, error)
	// NearestUser is the user's name that a name was probably meant to be, or "".
	NearestUser(ctx context.Context, name string) string
	// Subordinate and SubordinateGroup report whether a number is one that a user may
	// act as in a user namespace, and whose (subuid(5), subgid(5)).
	Subordinate(uid uint32) (owner string, is bool)
	SubordinateGroup(gid uint32) (owner string, is bool)
}

// An answer says whether a rule is for somebody.
type answer int

const (
	no answer = iota
	yes
	unsure // the user database did not say
)

// A requester is who asks, with what the user database says of them. It is asked when
// that matters, and once.
type requester struct {
	who   vfs.Identity
	ctx   context.Context
	names Names

	nobody string // why nothing is granted to them as a user; "" if they are somebody

	askedUser, askedGroups bool
	user                   userdb.User // in the database, if userErr is nil
	userErr                error
	groups                 []uint32 // the database's, if groupsErr is nil
	groupsErr              error

	unsure error // the first failure of the database, for people
}

func newRequester(ctx context.Context, who vfs.Identity, names Names) *requester {
	r := &requester{who: who, ctx: ctx, names: names}
	if !isSomebody(who.UID) {
		r.nobody = "the overflow ids stand for nobody"
		return r
	}
	// Who acts as a subordinate id can be another user than the one who has the number,
	// if anybody has. The owner is asked for, not the number: there are 65536 of them.
	if owner, is := names.Subordinate(who.UID); is && owner != number(who.UID) && !r.is(owner) {
		r.nobody = "uid " + number(who.UID) + " is a subordinate id of " + owner + " (/etc/subuid), which stands for nobody"
	}
	return r
}

// is reports whether the requester has the number of the user of that name.
func (r *requester) is(name string) bool {
	uid, a := r.userID(name)
	return a == yes && uid == r.who.UID
}

// named reports whether the requester has a name in the user database.
func (r *requester) named() answer {
	if !r.askedUser {
		r.askedUser = true
		r.user, r.userErr = r.names.ByUID(r.ctx, r.who.UID)
	}
	return r.answer(r.userErr)
}

// name is the requester's in the user database, or "".
func (r *requester) name() string {
	if r.named() != yes {
		return ""
	}
	return r.user.Name
}

// member reports whether the user database has the requester in a group.
func (r *requester) member(gid uint32) answer {
	if a := r.named(); a != yes || gid == r.user.GID {
		return a
	}
	if !r.askedGroups {
		r.askedGroups = true
		r.groups, r.groupsErr = r.names.Groups(r.ctx, r.user)
	}
	if a := r.answer(r.groupsErr); a != yes || slices.Contains(r.groups, gid) {
		return a
	}
	return no
}

// databaseGroups are the groups that the user database has the requester in, as far as
// it was asked.
func (r *requester) databaseGroups() (all []uint32) {
	if r.askedUser && r.userErr == nil {
		all = append(all, r.user.GID)
	}
	if r.askedGroups && r.groupsErr == nil {
		all = append(all, r.groups...)
	}
	return all
}

// answer makes one of what the database said.
func (r *requester) answer(err error) answer {
	switch {
	case err == nil:
		return yes
	case errors.Is(err, userdb.ErrUnknown):
		return no
	}
	if r.unsure == nil {
		r.unsure = err
	}
	return unsure
}

// in reports whether the requester is in a group: by the kernel's word on them, or by
// the database's. A process can drop the kernel's groups in a user namespace, so that a
// rule that restricts a group would not be for it any more. Subordinate ids count only
// where the database has the user in them: their owner can take them.
func (r *requester) in(gid uint32) answer {
	if !isSomebody(gid) {
		return no
	}
	if gid == r.who.GID || slices.Contains(r.who.Groups, gid) {
		if _, is := r.names.SubordinateGroup(gid); !is {
			return yes
		}
	}
	return r.member(gid)
}

// matches reports whether a rule is for the requester.
func (r *requester) matches(p Principal) answer {
	switch {
	case p.Kind == Certificate && r.who.Cert != "" && r.who.Cert == p.Name:
		return yes
	case p.Kind == Certificate, r.nobody != "":
		return no
	}
	switch p.Kind {
	case Anyone:
		return r.named()
	case User:
		uid, a := r.userID(p.Name)
		if a == yes && uid != r.who.UID {
			return no
		}
		return a
	case Group:
		gid, a := r.groupID(p.Name)
		if a == yes {
			return r.in(gid)
		}
		return a
	}
	return no
}

func (r *requester) userID(name string) (uint32, answer) {
	if n, is := userdb.Number(name); is {
		return n, yes
	}
	u, err := r.names.User(r.ctx, name)
	return u.UID, r.answer(err)
}

func (r *requester) groupID(name string) (uint32, answer) {
	if n, is := userdb.Number(name); is {
		return n, yes
	}
	gid, err := r.names.Group(r.ctx, name)
	return gid, r.answer(err)
}

// anyOf reports whether any of the rules is for the requester, and which.
func (r *requester) anyOf(all []Principal) (p Principal, a answer) {
	for _, one := range all {
		switch r.matches(one) {
		case yes:
			return one, yes
		case unsure:
			p, a = one, unsure
		}
	}
	return p, a
}

// isSomebody reports whether an id is that of a user or group, rather than one
// that stands for nobody in particular.
func isSomebody(id uint32) bool { return id != vfs.OverflowID && id != vfs.NoID }
