package aggregate

import (
	"runtime"
	"sync"
	"weak"
)

// A viewKey is what tells one view from another.
type viewKey struct {
	who  string // Identity.Key
	host host
	path string
}

// sharedViews makes views that are equal one, for as long as anybody holds it: a
// nodeset is walked by many fids and in many spellings, and what the view of it holds,
// its nodes and what it reached last, grows with the cluster. It keeps no view itself.
// Its zero value is empty; it may be used concurrently.
type sharedViews struct {
	mu    sync.Mutex
	views map[viewKey]weak.Pointer[view]
}

// one is the view like v that is in use, which may be v itself.
func (s *sharedViews) one(v *view) *view {
	key := viewKey{v.who.Key(), v.host, v.path}
	s.mu.Lock()
	defer s.mu.Unlock()
	if held := s.views[key].Value(); held != nil {
		return held
	}
	if s.views == nil {
		s.views = map[viewKey]weak.Pointer[view]{}
	}
	s.views[key] = weak.Make(v)
	runtime.AddCleanup(v, s.forget, key)
	return v
}

// forget is called when a view of that key is not held any more. Another may be.
func (s *sharedViews) forget(key viewKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.views[key].Value() == nil {
		delete(s.views, key)
	}
}
