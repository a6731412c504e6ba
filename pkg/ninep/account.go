package ninep

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"weak"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// An account is what one identity makes the server hold, on whatever connections and
// listeners: connections, and memory in bytes. Memory is of two kinds. Held memory
// stays until the client lets go of it: fids with the names and nodes on their way
// from the root, contents, listings. What passes goes by itself: requests that are
// being carried out and answers that the client has not taken yet.
//
// Places and connections point at accounts, and with the last of those an account
// goes.
type account struct {
	name      string // for people, and its key
	limits    *Limits
	held      atomic.Int64
	passing   atomic.Int64 // answers
	requested atomic.Int64 // requests
	conns     int          // guarded by door.mu
}

// What is counted, in bytes, where nobody knows better. The figures are what they
// take in the heap with a tree like the aggregate's, rounded up; TestFidsOfAnIdentity compares.
const (
	fidWeight   = 512      // a fid with its entry in the connection's table
	placeWeight = 640      // a name on its way: the place and the tree's node
	connWeight  = 16 << 10 // a connection, its goroutine and its tables
	jobWeight   = 4 << 10  // a request being carried out, its goroutine with it
)

// hold counts n bytes more as held; less where n is negative. ENFILE: there is no room.
func (a *account) hold(n int64) error {
	if a.held.Add(n) > a.limits.IdentityBytes && n > 0 {
		a.held.Add(-n)
		return syscall.ENFILE
	}
	return nil
}

// pass counts n bytes more as passing. ENFILE: there is no room.
func (a *account) pass(n int64) error {
	if a.passing.Add(n) > a.limits.IdentityPassing && n > 0 {
		a.passing.Add(-n)
		return syscall.ENFILE
	}
	return nil
}

// ask counts n bytes more of requests. They are counted apart from answers: who has
// left many of those unread may still ask and be told. ENFILE: there is no room.
func (a *account) ask(n int64) error {
	if a.requested.Add(n) > a.limits.IdentityPassing/4 && n > 0 {
		a.requested.Add(-n)
		return syscall.ENFILE
	}
	return nil
}

// full reports whether no more may pass.
func (a *account) full() bool { return a.passing.Load() >= a.limits.IdentityPassing }

// accounts finds accounts.
type accounts struct {
	limits *Limits
	mu     sync.Mutex
	byName map[string]weak.Pointer[account]
}

// of is the account of that name.
func (a *accounts) of(name string) *account {
	a.mu.Lock()
	defer a.mu.Unlock()
	if p := a.byName[name].Value(); p != nil {
		return p
	}
	if a.byName == nil {
		a.byName = make(map[string]weak.Pointer[account])
	}
	p := &account{name: name, limits: a.limits}
	a.byName[name] = weak.Make(p)
	runtime.AddCleanup(p, a.forget, name)
	return p
}

// forget removes what nobody points at any more, unless it is there anew.
func (a *accounts) forget(name string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.byName[name].Value() == nil {
		delete(a.byName, name)
	}
}

// nameless is the name of the account of all users that the user database does not
// have: who can take many such numbers, as the owner of a user namespace can, gains
// nothing by it.
const nameless = "users without a name"

// payerOf is the account of a peer's connections.
func (s *Server) payerOf(p Peer) *account {
	if p.HasCred {
		return s.payer(p, vfs.Identity{UID: p.UID})
	}
	return s.accounts.of(p.origin())
}

// payer is the account of an identity that a peer attaches for. It may ask the user
// database.
func (s *Server) payer(p Peer, who vfs.Identity) *account {
	if isNobody(who.UID) {
		if who.Cert != "" {
			return s.accounts.of(Peer{Cert: who.Cert}.origin())
		}
		return s.accounts.of("nobody")
	}
	uid := who.UID
	if s.cfg.Payer != nil && uid != 0 {
		owner, named := s.cfg.Payer(uid)
		// Whom a front end speaks for has been found by it, if not here.
		if !named && !(p.Cert != "" && s.cfg.Trusted(p)) {
			return s.accounts.of(nameless)
		}
		uid = owner
	}
	return s.accounts.of(fmt.Sprintf("uid %d", uid))
}

// A hold is what a fid has counted, see account.
type hold struct {
	of    *account
	bytes int64 // of the account's
	open  int64 // of the connection's openBytes
}

// release gives back what a fid has counted.
func (c *conn) release(h hold) {
	if h.of != nil {
		h.of.held.Add(-h.bytes)
		c.openBytes.Add(-h.open)
	}
}

// stand makes a fid, of which nothing is open, stand at a place. ENFILE: there is no
// room on the account.
func (c *conn) stand(f *fid, at *place) error {
	weight := fidWeight + at.weight
	if err := at.account.hold(weight - f.hold.bytes); err != nil {
		return err
	}
	f.at, f.hold.of, f.hold.bytes = at, at.account, weight
	return nil
}

// standAgain makes a fid stand where it stood before, for which there was room.
func (f *fid) standAgain(at *place) {
	if at != nil {
		f.at, f.hold.of, f.hold.bytes = at, at.account, fidWeight+at.weight
		at.account.held.Add(f.hold.bytes)
	}
}

// pin counts what is open at a fid as that many bytes. EMFILE: it is more than the
// connection may have open; ENFILE: there is no room on the account.
func (c *conn) pin(f *fid, bytes int64) error {
	more := bytes - f.hold.open
	if more == 0 {
		return nil
	}
	if c.openBytes.Add(more) > c.srv.cfg.Limits.OpenBytes && more > 0 {
		c.openBytes.Add(-more)
		return syscall.EMFILE
	}
	if err := f.hold.of.hold(more); err != nil {
		c.openBytes.Add(-more)
		return err
	}
	f.hold.bytes, f.hold.open = f.hold.bytes+more, bytes
	return nil
}

// weigh counts what is open at a fid anew, where it may have grown. What there is no
// room for is given up.
func (c *conn) weigh(f *fid) error {
	if f.holder == nil {
		return nil
	}
	err := c.pin(f, f.holder.Holds())
	if err != nil {
		f.holder.Forget()
		_ = c.pin(f, 0) // which is less
	}
	return err
}

// begun counts a request until it is done. ENFILE: there is no room on the account of
// the connection's peer.
func (c *conn) begun(j *job) error {
	n := j.weight()
	if err := c.payer.ask(n); err != nil {
		return err
	}
	j.payer, j.requested = c.payer, n
	return nil
}

// charge counts n bytes more of an answer, until it is taken. ENFILE as for begun.
func (c *conn) charge(j *job, n int64) error {
	if err := c.payer.pass(n); err != nil {
		return err
	}
	j.payer, j.passing = c.payer, j.passing+n
	return nil
}

// furnish makes sure that room for n bytes of an answer is counted for a job.
func (c *conn) furnish(j *job, n int) error {
	if n <= j.room {
		return nil
	}
	if err := c.charge(j, int64(n-j.room)); err != nil {
		return err
	}
	j.room = n
	return nil
}
