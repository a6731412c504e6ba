package ps

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"syscall"

	"github.com/aggrfs/aggrfs/internal/app/client"
	"github.com/aggrfs/aggrfs/internal/app/exit"
	"github.com/aggrfs/aggrfs/internal/app/gaps"
	"github.com/aggrfs/aggrfs/internal/userdb"
	"github.com/aggrfs/aggrfs/pkg/aggregate/report"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// A user is a user whose processes are asked for.
type user struct {
	text string // as -u has it
	// name is the user's file in cluster/ps-of: a uid, by which the kernel knows owners,
	// or for a server on another machine, whose users are not those of this one, the text.
	name string
}

// usersAsked finds the users of -u, each once.
//
// A user's processes are found by the uid, and by the server: two user databases, and two
// caches of one, may name a user differently, and a comparison of names would then find
// no process.
func usersAsked(ctx context.Context, src *client.Source, t *client.Tree, names []string) (all []user, err error) {
	for _, text := range names {
		u := user{text, text}
		if !src.IsRemote() {
			who, err := src.Users.Identity(ctx, text)
			if err != nil {
				return nil, client.BadUser("-u", err)
			}
			if outside, mapped := client.OutsideUID(src.UIDMap, who.UID); mapped && outside != who.UID && t.Origin != client.OfThisHost {
				return nil, exit.NotKnown(fmt.Errorf("-u: %s is uid %d in this user namespace and another outside of it, where the nodes are: run this outside of the namespace", text, who.UID))
			}
			u.name = strconv.FormatUint(uint64(who.UID), 10)
		} else if !vfs.ValidName(text) {
			return nil, exit.Usagef("-u: %q is no name of a user", text)
		}
		if !slices.ContainsFunc(all, func(other user) bool { return other.name == u.name }) {
			all = append(all, u)
		}
	}
	return all, nil
}

// readUsers reads the rows of those users, each user's by themselves, and what they lack.
func (q *query) readUsers(ctx context.Context, t *client.Tree, users []user, p *progress) (rows []*report.Process, g gaps.Gaps, err error) {
	for _, u := range users {
		theirs, lacking, err := q.readPart(ctx, t, p, "ps-of", u.name)
		if errors.Is(err, errNoPart) {
			if nodes, err := t.Nodes(ctx); err == nil && len(nodes) == 0 {
				return nil, gaps.Gaps{Blind: true}, nil
			}
			return nil, g, notShown(t, u)
		}
		if err != nil {
			return nil, g, err
		}
		rows = append(rows, theirs...)
		g.Join(lacking)
	}
	if len(users) > 1 {
		// By node and pid, as one table has them. A process whose owner changes meanwhile
		// may be in two.
		slices.SortStableFunc(rows, func(x, y *report.Process) int { return cmp.Compare(x.GPID, y.GPID) })
		rows = slices.CompactFunc(rows, func(x, y *report.Process) bool { return x.GPID == y.GPID })
	}
	return rows, g, nil
}

// notShown says that the server does not show a user's processes: nobody knows then
// whether there are any.
func notShown(t *client.Tree, u user) error {
	if t.Remote {
		return exit.NotKnown(fmt.Errorf("the server knows no user %q, or your view has no processes of theirs (see aggrfs whoami)", u.text))
	}
	return exit.NotKnown(fmt.Errorf("your view has no processes of %s, so it is not known whether there are any (see aggrfs whoami)", u.text))
}

// ownersOf are what a server without cluster/ps-of may have in the column USER for those
// users: names and numbers.
func ownersOf(ctx context.Context, db *userdb.DB, t *client.Tree, users []user) (owners []string, err error) {
	for _, u := range users {
		if t.Remote {
			owner, err := userThere(ctx, t, u)
			if err != nil {
				return nil, err
			}
			owners = append(owners, owner)
			continue
		}
		owners = append(owners, u.name)
		if uid, err := strconv.ParseUint(u.name, 10, 32); err == nil {
			owners = append(owners, db.UserName(uint32(uid)))
		}
		owners = append(owners, u.text)
	}
	return owners, nil
}

// userThere is what an older server on another machine calls a user: its user database is
// not this machine's. The root of a user's processes tells whose they are, "bob (1002)".
func userThere(ctx context.Context, t *client.Tree, u user) (string, error) {
	text, err := t.Read(ctx, "users", u.name, "cluster", "whoami")
	if errors.Is(err, syscall.ENOENT) {
		return "", notShown(t, u)
	}
	if err != nil {
		return "", err
	}
	if name := report.UserName(report.ParseWhoami(text).Processes); name != "" {
		return name, nil
	}
	return "", fmt.Errorf("-u: the server does not tell who %q is", u.text)
}
