package ninep

import (
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"weak"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// An account is how much content the open files of one identity hold in memory,
// on whatever connections. Places hold it, and with the last of them it goes.
type account struct{ bytes atomic.Int64 }

// accounts finds the account of an identity.
type accounts struct {
	mu    sync.Mutex
	byKey map[string]weak.Pointer[account] // by vfs.Identity.Key
}

func (a *accounts) of(who vfs.Identity) *account {
	key := who.Key()
	a.mu.Lock()
	defer a.mu.Unlock()
	if p := a.byKey[key].Value(); p != nil {
		return p
	}
	if a.byKey == nil {
		a.byKey = make(map[string]weak.Pointer[account])
	}
	p := new(account)
	a.byKey[key] = weak.Make(p)
	runtime.AddCleanup(p, a.forget, key)
	return p
}

// forget removes what nobody holds any more, unless it is held anew.
func (a *accounts) forget(key string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.byKey[key].Value() == nil {
		delete(a.byKey, key)
	}
}

// A pin is content that an open file holds in memory: counted against its
// connection's limit and its identity's. The zero pin is none.
type pin struct {
	bytes int64
	of    *account
}

// pin counts bytes more for an open file of that identity.
func (c *conn) pin(of *account, bytes int64) (pin, error) {
	limits := &c.srv.cfg.Limits
	if c.openBytes.Add(bytes) > limits.OpenBytes {
		c.openBytes.Add(-bytes)
		return pin{}, syscall.EMFILE
	}
	if of.bytes.Add(bytes) > limits.IdentityBytes {
		c.unpin(pin{bytes, of})
		return pin{}, syscall.ENFILE
	}
	return pin{bytes, of}, nil
}

func (c *conn) unpin(p pin) {
	if p.of != nil {
		c.openBytes.Add(-p.bytes)
		p.of.bytes.Add(-p.bytes)
	}
}
