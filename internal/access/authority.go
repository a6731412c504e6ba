package access

import (
	"sync"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

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
