// Package access decides who may see what of a cluster.
//
// # Model
//
// [Rules] are what the configuration says: administrators, who see everything,
// and views, of which the first that is for somebody is theirs. A [View] grants
// some nodes and the processes of some users there. [Allocation]s say which
// nodes a user has been given by a scheduler, and until when; a view may grant
// "the allocated nodes". The superuser is always an administrator.
//
// An [Authority] answers for an identity with a [Scope]: the nodes, the
// processes and the files that exist for it, and which rule says so. What is
// granted by nothing does not exist: without a view the scope has no nodes.
//
// # Freshness
//
// A Scope never changes. It is good until the rules or the allocations change,
// until the first allocation in it ends, and for [ScopeAge] at most, since it
// has names of users and groups resolved. [Authority.Current] tells; it costs
// two loads, so that it can be asked at every request, and rights that are taken
// away end at the next one.
//
// # Failure
//
// Everything fails towards less. A user or group that the user database does not have
// matches nobody. Where the database leaves open if a view is for somebody, none
// is theirs, for a few seconds, rather than one behind it that may grant more. A line
// of a table of allocations that is not understood costs itself alone; a source that
// fails keeps its last table for a time (see [Follow]), and [Authority.Source] says how
// old that is.
//
// # Who somebody is
//
// Ids and groups are the kernel's word, and the user database's beside it: somebody is
// in a group if either has them in it, since a process can drop its groups in a user
// namespace. "Any user" is who has a name in the database. The overflow ids, and ids
// that users may take in user namespaces (subuid(5), subgid(5)), are nobody's.
//
// All methods may be called concurrently.
package access

import (
	"strings"
	"sync"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/aggrfs/aggrfs/internal/procpath"
	"github.com/aggrfs/aggrfs/pkg/nodeset"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// ScopeAge is how long a Scope is good at most.
const ScopeAge = 30 * time.Second

// maxScopes is how many identities' scopes are cached.
const maxScopes = 1 << 14

// An Authority knows the rules and allocations in force.
type Authority struct {
	names Names
	now   func() time.Time

	change sync.Mutex // locked to replace the state
	state  atomic.Pointer[state]
	source atomic.Pointer[SourceState]
}

// state is one set of rules with one set of allocations; it is replaced as a
// whole.
type state struct {
	rules       Rules
	allocations []Allocation
	byUser      map[string][]Allocation
	scopes      *lru.Cache[string, *Scope] // by identity
}

// New returns an Authority with those rules and no allocations. now is the
// clock; nil is time.Now.
func New(rules Rules, names Names, now func() time.Time) *Authority {
	if now == nil {
		now = time.Now
	}
	a := &Authority{names: names, now: now}
	a.set(rules, nil)
	return a
}

func (a *Authority) set(rules Rules, allocations []Allocation) {
	scopes, _ := lru.New[string, *Scope](maxScopes) // fails for a size below 1 only
	st := &state{rules: rules, allocations: allocations, byUser: map[string][]Allocation{}, scopes: scopes}
	for _, al := range allocations {
		st.byUser[al.User] = append(st.byUser[al.User], al)
	}
	a.state.Store(st)
}

// SetRules puts other rules in force, for all that is open too.
func (a *Authority) SetRules(rules Rules) {
	a.change.Lock()
	defer a.change.Unlock()
	a.set(rules, a.state.Load().allocations)
}

// SetAllocations puts other allocations in force, for all that is open too.
func (a *Authority) SetAllocations(all []Allocation) {
	a.change.Lock()
	defer a.change.Unlock()
	a.set(a.state.Load().rules, all)
}

// Allocations are those in force, the same slice until others are. The caller must
// not change them.
func (a *Authority) Allocations() []Allocation { return a.state.Load().allocations }

// Source is how the source of the allocations is; nil is that there is none. The
// caller must not change it.
func (a *Authority) Source() *SourceState { return a.source.Load() }

func (a *Authority) setSource(s *SourceState) { a.source.Store(s) }

// NoSource says that there is no source of allocations, and so none.
func (a *Authority) NoSource() {
	a.SetAllocations(nil)
	a.setSource(nil)
}

// Scope is what exists for who now.
func (a *Authority) Scope(who vfs.Identity) *Scope {
	st, now := a.state.Load(), a.now()
	key := who.Key()
	if s, ok := st.scopes.Get(key); ok && now.Before(s.until) {
		return s
	}
	s := st.resolve(who, a.names, a.now)
	st.scopes.Add(key, s)
	return s
}

// Current reports whether s is still what exists for its identity.
func (a *Authority) Current(s *Scope) bool {
	return s.state == a.state.Load() && a.now().Before(s.until)
}

// allocated are the allocations of a user, by name or number.
func (st *state) allocated(r *requester) []Allocation {
	all := st.byUser[number(r.who.UID)]
	if name := r.name(); name != "" {
		all = append(all[:len(all):len(all)], st.byUser[name]...)
	}
	return all
}

// Rules are who sees what. They are never changed once in force.
type Rules struct {
	Admins []Principal
	Views  []View // the first that is for somebody counts
	// Control is what those may do who see everything.
	Control Control
}

// A Kind is what a Principal names.
type Kind int

// The kinds.
const (
	User Kind = iota
	Group
	Certificate
	Anyone // every user of the user database; not who has a certificate and no user
)

// A Principal is for whom a rule is.
type Principal struct {
	Kind Kind
	Name string // of a user or group also its number; "" for Anyone
}

func (p Principal) String() string {
	switch p.Kind {
	case Group:
		return "group " + p.Name
	case Certificate:
		return "certificate " + p.Name
	case Anyone:
		return "any user"
	}
	return "user " + p.Name
}

// A View is one rule.
type View struct {
	For       []Principal
	Nodes     Nodes
	Processes Processes
	Deny      []*procpath.Pattern // files that do not exist, nor what is below them
	Control   Control
	Place     string // where it stands, for people: "views.d/chem.yaml:3"
}

// Nodes is which nodes a view grants: the union.
type Nodes struct {
	All       bool
	Allocated bool // those that are allocated to the requester
	Set       nodeset.Set
}

func (n Nodes) String() string {
	var parts []string
	if n.All {
		parts = append(parts, "all")
	}
	if n.Allocated {
		parts = append(parts, "allocated")
	}
	if n.Set.Len() > 0 {
		parts = append(parts, n.Set.String())
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ",")
}

// Processes is whose processes a view grants: the union.
type Processes struct {
	All   bool
	Own   bool
	Users []string // names or numbers
}

func (p Processes) String() string {
	switch {
	case p.All:
		return "all"
	case p.Own:
		return strings.Join(append([]string{"own"}, p.Users...), ",")
	case len(p.Users) > 0:
		return strings.Join(p.Users, ",")
	}
	return "none"
}
