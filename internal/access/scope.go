package access

import (
	"slices"
	"time"

	"github.com/aggrfs/aggrfs/internal/nodeset"
	"github.com/aggrfs/aggrfs/internal/procpath"
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

	end   time.Time // the first of its allocations to end; zero is none
	state *state
	until time.Time
}

// End is when the first of the allocations in it ends, zero if none does.
func (s *Scope) End() time.Time { return s.end }

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

// Denies tells whether a file of a node, or a directory that it is in, does not
// exist though its node does. path is relative to the node's /proc.
func (s *Scope) Denies(path string) bool {
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

// resolve finds the rule that is for who.
func (st *state) resolve(who vfs.Identity, names Names, now time.Time) *Scope {
	s := &Scope{state: st, until: now.Add(ScopeAge)}
	is := func(p Principal) bool { return p.is(who, names) }
	if who.IsRoot() {
		s.grantAll("the superuser is an administrator", "")
		return s
	}
	if i := slices.IndexFunc(st.rules.Admins, is); i >= 0 {
		s.grantAll("administrator ("+st.rules.Admins[i].String()+")", "")
		return s
	}
	for i := range st.rules.Views {
		v := &st.rules.Views[i]
		k := slices.IndexFunc(v.For, is)
		if k < 0 {
			continue
		}
		s.Rule, s.Place, s.deny = "view for "+v.For[k].String(), v.Place, v.Deny
		s.AllNodes, s.Nodes = v.Nodes.All, v.Nodes.Set
		if v.Nodes.Allocated && isSomebody(who.UID) {
			s.addAllocated(st.allocated(who.UID, names), now)
		}
		s.setProcesses(v.Processes, who, names)
		return s
	}
	s.Rule = "no view is for this user: own processes on no nodes"
	s.setProcesses(Processes{Own: true}, who, names)
	return s
}

func (s *Scope) grantAll(rule, place string) {
	s.AllNodes, s.allProcesses, s.Rule, s.Place = true, true, rule, place
}

func (s *Scope) setProcesses(p Processes, who vfs.Identity, names Names) {
	s.allProcesses = p.All
	if p.Own && isSomebody(who.UID) {
		s.uids = append(s.uids, who.UID)
	}
	for _, name := range p.Users {
		if uid, ok := names.UID(name); ok && isSomebody(uid) {
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
		if a.End.Before(s.until) {
			s.until = a.End
		}
	}
}
