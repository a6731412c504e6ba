package view

import (
	"runtime"
	"sync"
	"weak"

	"github.com/aggrfs/aggrfs/pkg/aggregate/proctable"
)

// A viewKey is what tells one view from another.
type viewKey struct {
	who  string // Identity.Key
	host proctable.Host
	path string
}

// shared makes views that are equal one, for as long as anybody holds it: a
// nodeset is walked by many fids and in many spellings, and what the view of it holds,
// its nodes and what it reached last, grows with the cluster. It keeps no view itself.
// Its zero value is empty; it may be used concurrently.
type shared struct {
	mu    sync.Mutex
	views map[viewKey]weak.Pointer[View]
}

// one is the view like v that is in use, which may be v itself.
func (s *shared) one(v *View) *View {
	key := viewKey{v.Who.Key(), v.Host, v.Path}
	s.mu.Lock()
	defer s.mu.Unlock()
	if used := s.views[key].Value(); used != nil {
		return used
	}
	if s.views == nil {
		s.views = map[viewKey]weak.Pointer[View]{}
	}
	s.views[key] = weak.Make(v)
	runtime.AddCleanup(v, s.forget, key)
	return v
}

// forget is called when a view of that key is not held any more. Another may be.
func (s *shared) forget(key viewKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.views[key].Value() == nil {
		delete(s.views, key)
	}
}
