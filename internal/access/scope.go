package access

import (
	"context"
	"slices"
	"time"

	"github.com/aggrfs/aggrfs/internal/procpath"
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

// HasNode tells whether the node of that name exists.
func (s *Scope) HasNode(name string) bool { return s.AllNodes || s.Nodes.Contains(name) }

// AllProcesses tells whether everybody's processes exist.
func (s *Scope) AllProcesses() bool { return s.allProcesses }

// Sees tells whether processes of that user exist.
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

// DeniesSome tells whether Denies is ever true.
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
