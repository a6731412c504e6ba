package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/aggrfs/aggrfs/internal/plaintext"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// A psUser is a user whose processes are asked for.
type psUser struct {
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
func (a *app) usersAsked(ctx context.Context, src *source, t *tree, o *psOptions) (all []psUser, err error) {
	for _, text := range o.users {
		u := psUser{text, text}
		if !src.isRemote() {
			who, err := a.users.Identity(ctx, text)
			if err != nil {
				return nil, a.badUser("-u", err)
			}
			if outside, mapped := outsideUID(cmp.Or(a.uidMap, "/proc/self/uid_map"), who.UID); mapped && outside != who.UID && t.origin != ofThisHost {
				return nil, notKnown(fmt.Errorf("-u: %s is uid %d in this user namespace and another outside of it, where the nodes are: ask from outside", text, who.UID))
			}
			u.name = strconv.FormatUint(uint64(who.UID), 10)
		} else if !vfs.ValidName(text) {
			return nil, usage("-u: %q is no name of a user", text)
		}
		if !slices.ContainsFunc(all, func(other psUser) bool { return other.name == u.name }) {
			all = append(all, u)
		}
	}
	return all, nil
}

// outsideUID is the number of a user outside of the user namespace of that uid_map, see
// user_namespaces(7), if the user has any number in it.
func outsideUID(uidMap string, uid uint32) (outside uint32, mapped bool) {
	text, err := os.ReadFile(uidMap)
	if err != nil {
		return 0, false
	}
	for line := range strings.Lines(string(text)) {
		var first, there, count uint32
		if n, _ := fmt.Sscan(line, &first, &there, &count); n == 3 && uid >= first && uid-first < count {
			return there + (uid - first), true
		}
	}
	return 0, false
}

// readUsers reads the rows of those users, each user's by themselves, and what they lack.
func readUsers(ctx context.Context, t *tree, o *psOptions, users []psUser, p *progress) (rows [][]string, g gaps, err error) {
	for _, u := range users {
		theirs, lacking, err := readPart(ctx, t, o, p, "ps-of", u.name)
		if errors.Is(err, errNoPart) {
			if nodes, err := nodesTable(ctx, t); err == nil && len(nodes.rows) == 0 {
				return nil, gaps{blind: true}, nil
			}
			return nil, g, notShown(t, u)
		}
		if err != nil {
			return nil, g, err
		}
		rows = append(rows, theirs...)
		g.join(lacking)
	}
	if len(users) > 1 {
		// By node and pid, as one table has them. A process whose owner changes meanwhile
		// may be in two.
		number := func(row []string) string { return row[pidColumn] }
		slices.SortStableFunc(rows, func(x, y []string) int { return comparePS(x, y, []psKey{{column: pidColumn}}) })
		rows = slices.CompactFunc(rows, func(x, y []string) bool { return number(x) == number(y) })
	}
	return rows, g, nil
}

// notShown says that the server does not show a user's processes: nobody knows then
// whether there are any.
func notShown(t *tree, u psUser) error {
	if t.remote {
		return notKnown(fmt.Errorf("the server knows no user %q, or your view has no processes of theirs (see aggrfs whoami)", u.text))
	}
	return notKnown(fmt.Errorf("your view has no processes of %s, so it is not known whether there are any (see aggrfs whoami)", u.text))
}

// ownersOf are what a server without cluster/ps-of may have in the column USER for those
// users: names, as tables have them, and numbers.
func (a *app) ownersOf(ctx context.Context, t *tree, users []psUser) (owners []string, err error) {
	for _, u := range users {
		if t.remote {
			owner, err := userThere(ctx, t, u)
			if err != nil {
				return nil, err
			}
			owners = append(owners, owner)
			continue
		}
		owners = append(owners, u.name)
		if uid, err := strconv.ParseUint(u.name, 10, 32); err == nil {
			owners = append(owners, ownerCell(a.users.UserName(uint32(uid))))
		}
		owners = append(owners, ownerCell(u.text))
	}
	return owners, nil
}

// ownerCell is a user's name as the column USER has it.
func ownerCell(name string) string {
	return strings.ReplaceAll(plaintext.Escape(name), " ", `\040`)
}

// userThere is what an older server on another machine calls a user: its user database is
// not this machine's. The root of a user's processes tells whose they are, "bob (1002)".
func userThere(ctx context.Context, t *tree, u psUser) (string, error) {
	text, err := readTable(ctx, t, "users", u.name, "cluster", "whoami")
	if errors.Is(err, syscall.ENOENT) {
		return "", notShown(t, u)
	}
	if err != nil {
		return "", err
	}
	for line := range bytes.Lines(text) {
		if f := strings.Fields(string(line)); len(f) > 1 && f[0] == "processes" {
			return f[1], nil
		}
	}
	return "", fmt.Errorf("-u: the server does not tell who %q is", u.text)
}
