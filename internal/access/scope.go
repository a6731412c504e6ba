package access

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/aggrfs/aggrfs/internal/procpath"
	"github.com/aggrfs/aggrfs/internal/userdb"
	"github.com/aggrfs/aggrfs/pkg/nodeset"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// A Scope is what exists for one identity. It never changes.
type Scope struct {
	AllNodes bool
	Nodes    nodeset.Set // where AllNodes is not set

	// Rule and Place say what granted it, for people.
	Rule, Place string

	allProcesses bool
	uids         []uint32 // whose processes, where not all's; sorted
	deny         []*procpath.Pattern
	control      Control

	groups    []uint32 // of the user database
	allocated bool     // it has the nodes that are allocated to it

	end   time.Time // the first of its allocations to end; zero is none
	state *state
	until time.Time
}

// End is when the first of the allocations in it ends, zero if none does.
func (s *Scope) End() time.Time { return s.end }

// Groups are who's groups by the kernel's word, the primary one first, and behind them
// those that the user database alone has them in, as far as the rules took to ask it.
func (s *Scope) Groups(who vfs.Identity) []uint32 {
	all := append([]uint32{who.GID}, who.Groups...)
	for _, g := range s.groups {
		if !slices.Contains(all, g) {
			all = append(all, g)
		}
	}
	return all
}

// Allocated reports whether the scope has the nodes that are allocated to its user.
func (s *Scope) Allocated() bool { return s.allocated }

// HasNode reports whether the node of that name exists.
func (s *Scope) HasNode(name string) bool { return s.AllNodes || s.Nodes.Contains(name) }

// AllProcesses reports whether everybody's processes exist.
func (s *Scope) AllProcesses() bool { return s.allProcesses }

// Sees reports whether processes of that user exist.
func (s *Scope) Sees(uid uint32) bool {
	if s.allProcesses {
		return true
	}
	_, ok := slices.BinarySearch(s.uids, uid)
	return ok
}

// UIDs are the users whose processes exist, sorted, where not all's do. The
// caller must not change them.
func (s *Scope) UIDs() []uint32 { return s.uids }

// Denies reports whether a file of a node, or a directory that it is in, does not
// exist though its node does. path is relative to the node's /proc. A thread's
// directory holds the same files as its process's, so what is denied of a process is
// denied of each of its threads.
func (s *Scope) Denies(path string) bool {
	if s.denies(path) {
		return true
	}
	same, ok := procpath.OfProcess(path)
	return ok && s.denies(same)
}

func (s *Scope) denies(path string) bool {
	for _, p := range s.deny {
		if p.Covers(path) {
			return true
		}
	}
	return false
}

// DeniesSome reports whether Denies is ever true.
func (s *Scope) DeniesSome() bool { return len(s.deny) > 0 }

// Denied are the patterns of what is denied, for people.
func (s *Scope) Denied() []string {
	texts := make([]string, len(s.deny))
	for i, p := range s.deny {
		texts[i] = p.String()
	}
	return texts
}

const (
	// resolveTime is how long the user database may take for one scope.
	resolveTime = 3 * time.Second
	// unsureAge is how long a scope is good for which it did not say all.
	unsureAge = 2 * time.Second
)

// resolve finds the rule that is for who. A view that may be for who, which the user
// database does not say, is not passed over for one that grants more: nothing exists
// until it says so.
func (st *state) resolve(who vfs.Identity, names Names, now func() time.Time) *Scope {
	ctx, cancel := context.WithTimeout(context.Background(), resolveTime)
	defer cancel()
	r := newRequester(ctx, who, names)
	s := &Scope{state: st}
	if who.IsRoot() {
		s.grantAll("the superuser is an administrator", "")
		s.control = st.rules.Control
	} else {
		st.find(s, r, now())
	}
	s.groups = r.databaseGroups()
	// The time from which it is good is that when all has been asked.
	until := now().Add(ScopeAge)
	if r.unsure != nil {
		until = now().Add(unsureAge)
	}
	if s.until.IsZero() || until.Before(s.until) {
		s.until = until
	}
	return s
}

func (st *state) find(s *Scope, r *requester, now time.Time) {
	if p, a := r.anyOf(st.rules.Admins); a == yes {
		s.grantAll("administrator ("+p.String()+")", "")
		if r.nobody == "" {
			s.control = st.rules.Control
		}
		return
	}
	for i := range st.rules.Views {
		v := &st.rules.Views[i]
		p, a := r.anyOf(v.For)
		if a == unsure {
			s.Rule, s.Place = "none for now: whether the view for "+p.String()+" counts is not known, as the user database does not say ("+r.unsure.Error()+")", v.Place
			return
		}
		if a == no {
			continue
		}
		s.Rule, s.Place, s.deny = "view for "+p.String(), v.Place, v.Deny
		s.AllNodes, s.Nodes = v.Nodes.All, v.Nodes.Set
		if s.allocated = v.Nodes.Allocated && r.nobody == ""; s.allocated {
			s.addAllocated(st.allocated(r), now)
		}
		s.setProcesses(v.Processes, r)
		if r.nobody == "" {
			s.control = v.Control
		}
		return
	}
	s.Rule = "no view is for this user: own processes on no nodes"
	if r.nobody != "" {
		s.Rule = "no view is for this user: " + r.nobody
	}
	s.setProcesses(Processes{Own: true}, r)
}

func (s *Scope) grantAll(rule, place string) {
	s.AllNodes, s.allProcesses, s.Rule, s.Place = true, true, rule, place
}

func (s *Scope) setProcesses(p Processes, r *requester) {
	s.allProcesses = p.All
	if p.Own && r.nobody == "" {
		s.uids = append(s.uids, r.who.UID)
	}
	for _, name := range p.Users {
		if uid, a := r.userID(name); a == yes && isSomebody(uid) {
			s.uids = append(s.uids, uid)
		}
	}
	slices.Sort(s.uids)
	s.uids = slices.Compact(s.uids)
}

// addAllocated grants nodes until their allocations end.
func (s *Scope) addAllocated(all []Allocation, now time.Time) {
	for _, a := range all {
		if a.ended(now) {
			continue
		}
		s.Nodes = s.Nodes.Union(a.Nodes)
		if a.End.IsZero() {
			continue
		}
		if s.end.IsZero() || a.End.Before(s.end) {
			s.end = a.End
		}
		if s.until.IsZero() || a.End.Before(s.until) {
			s.until = a.End
		}
	}
}

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

// An answer is that a rule is for somebody, is not, or that it is not known.
type answer int

const (
	no answer = iota
	yes
	unsure // the user database did not say
)

// A requester is whom a scope is for, with what the user database says of them. The
// database is asked when that matters, and once.
type requester struct {
	who   vfs.Identity
	ctx   context.Context
	names Names

	nobody string // why nothing is granted to them as a user; "" if they are somebody

	lookedUp, groupsLookedUp bool
	user                     userdb.User // in the database, if userErr is nil
	userErr                  error
	groups                   []uint32 // the database's, if groupsErr is nil
	groupsErr                error

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
	if !r.lookedUp {
		r.lookedUp = true
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
	if !r.groupsLookedUp {
		r.groupsLookedUp = true
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
	if r.lookedUp && r.userErr == nil {
		all = append(all, r.user.GID)
	}
	if r.groupsLookedUp && r.groupsErr == nil {
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
