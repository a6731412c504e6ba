package mountserver

import (
	"sync"

	"github.com/aggrfs/aggrfs/pkg/ninep"
)

// A Served is one mount that is served.
type Served struct {
	UID      uint32 // of who made it
	AllUsers bool   // it is for all users
}

// served are the mounts that are served now.
type served struct {
	mu  sync.Mutex
	all map[*mount]Served // guarded by mu
}

// enter takes note of a mount, and returns what forgets it.
func (s *served) enter(m *mount, peer ninep.Peer) (leave func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all == nil {
		s.all = make(map[*mount]Served)
	}
	s.all[m] = Served{peer.UID, m.taken.Offer.AllUsers}
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.all, m)
	}
}

// Served are the mounts that are served now, in no order.
func (s *Server) Served() []Served {
	s.served.mu.Lock()
	defer s.served.mu.Unlock()
	all := make([]Served, 0, len(s.served.all))
	for _, m := range s.served.all {
		all = append(all, m)
	}
	return all
}
