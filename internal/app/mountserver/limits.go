package mountserver

import (
	"fmt"
	"math"
	"sync"
	"syscall"

	"github.com/aggrfs/aggrfs/pkg/fusefs"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// Limits is what users may have this process do for their mounts, and for what they look at on a mount
// that is for all users. Zero is the default of each. Root has no limits but RootRequests and
// RootBytes.
type Limits struct {
	// Mounts is how many all users may have at once, each of which takes up to four threads, of
	// which a Go program has 10000, and descriptors; one more is ENFILE. Default DefaultMounts.
	Mounts int
	// Descriptors is how many the mounts of users may take: Mounts is at most as many as have
	// room there. Default as many as Mounts say.
	Descriptors int
	// UserMounts is how many one user may have; one more is ENFILE. A mount counts until nothing
	// of its serving is left, see fusefs.Server.Left. Default 64.
	UserMounts int
	// MountRequests is how many requests of one user's mount may be in flight, and UserRequests of all
	// of a user's mounts together; others wait in the kernel's queue. Default 128 and 512.
	MountRequests, UserRequests int
	// RootRequests is MountRequests of a mount of root, which may be for all users. Default 4096.
	RootRequests int
	// UserInodes is how many files, directories and links the kernel may know on all of a user's
	// mounts, and on those for all users because the user has looked them up; a new one is ENFILE. Default 8388608: three times 400,000 processes with six names
	// each.
	UserInodes int64
	// UserBytes is what all that a user has open may hold in memory, on mounts for all users as well;
	// one more is ENFILE. Default 512 MiB.
	UserBytes int64
	// RootBytes is UserBytes of root. Default 2 GiB.
	RootBytes int64
}

// DefaultMounts is Limits.Mounts where that is not said.
const DefaultMounts = 2048

// Descriptors are what a mount takes beside its connection: the device, and two to wait for it.
const Descriptors = 3

func (l Limits) withDefaults() Limits {
	for _, of := range []struct {
		is      *int
		without int
	}{
		{&l.Mounts, DefaultMounts}, {&l.UserMounts, 64}, {&l.MountRequests, 128}, {&l.UserRequests, 512}, {&l.RootRequests, 4096},
	} {
		if *of.is <= 0 {
			*of.is = of.without
		}
	}
	if l.Descriptors > 0 {
		l.Mounts = min(l.Mounts, l.Descriptors/Descriptors)
	}
	if l.UserInodes <= 0 {
		l.UserInodes = 8 << 20
	}
	if l.UserBytes <= 0 {
		l.UserBytes = 512 << 20
	}
	if l.RootBytes <= 0 {
		l.RootBytes = 2 << 30
	}
	return l
}

// Accounts are those of all users who have mounts.
type accounts struct {
	Limits
	payer func(uid uint32) (owner uint32, named bool) // see Config

	mu    sync.Mutex
	all   int                 // mounts; guarded by mu, as is what follows
	users map[uint32]*account // by whose account it is
}

// An account is what one user has.
type account struct {
	mounts int // guarded by mu of accounts, as is what follows
	guest  int // of how many mounts for all users
	fuse   *fusefs.Account
}

func newAccounts(l Limits, payer func(uint32) (uint32, bool)) *accounts {
	return &accounts{Limits: l.withDefaults(), payer: payer, users: make(map[uint32]*account)}
}

// Shared is on whose account counts what an identity does on one mount for all users, for
// a process that serves no other: see fusefs.Config.
func Shared(l Limits) func(vfs.Identity) *fusefs.Account {
	of, _ := newAccounts(l, nil).guests()
	return of
}

// owner is on whose account a user is.
func (a *accounts) owner(uid uint32) uint32 {
	if a.payer != nil {
		uid, _ = a.payer(uid)
	}
	return uid
}

// userLocked is the account of an owner, a new one if there is none.
func (a *accounts) userLocked(owner uint32) *account {
	u := a.users[owner]
	if u == nil {
		limit := fusefs.Limit{Requests: a.UserRequests, Inodes: a.UserInodes, Bytes: a.UserBytes}
		if owner == 0 {
			limit = fusefs.Limit{Requests: math.MaxInt, Inodes: math.MaxInt64, Bytes: a.RootBytes}
		}
		u = &account{fuse: fusefs.NewAccount(limit)}
		a.users[owner] = u
	}
	return u
}

// guests are the accounts of those who use one mount that is for all users, and what takes the
// mount off them.
func (a *accounts) guests() (of func(vfs.Identity) *fusefs.Account, leave func()) {
	seen := make(map[uint32]*account) // guarded by mu of a; nil when the mount has ended
	of = func(who vfs.Identity) *fusefs.Account {
		owner := a.owner(who.UID)
		a.mu.Lock()
		defer a.mu.Unlock()
		u := seen[owner]
		switch {
		case seen == nil: // what is done now is done for nothing
			return nil
		case u == nil:
			u = a.userLocked(owner)
			u.guest++
			seen[owner] = u
		}
		return u.fuse
	}
	return of, func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		for owner, u := range seen {
			u.guest--
			a.dropLocked(owner, u)
		}
		seen = nil
	}
}

// dropLocked drops an account that nobody is on.
func (a *accounts) dropLocked(owner uint32, u *account) {
	if u.mounts+u.guest == 0 {
		delete(a.users, owner)
	}
}

// enter counts one mount more on a user's account and returns what is to bound it, and what
// takes it off. ENFILE: there are too many.
func (a *accounts) enter(uid uint32) (m mountLimits, leave func(), err error) {
	owner := a.owner(uid)
	a.mu.Lock()
	defer a.mu.Unlock()
	m.requests = a.RootRequests
	if uid != 0 {
		m.requests = a.MountRequests
		switch u := a.users[owner]; {
		case u != nil && u.mounts >= a.UserMounts:
			return m, nil, fmt.Errorf("you have %d mounts, and one user may have no more: end one first: %w", u.mounts, syscall.ENFILE)
		case a.all >= a.Mounts:
			return m, nil, fmt.Errorf("users have %d mounts, and the server takes no more: try again later: %w", a.all, syscall.ENFILE)
		}
		a.all++
	}
	u := a.userLocked(owner)
	u.mounts++
	m.account = u.fuse
	return m, func() { a.leave(uid, owner) }, nil
}

func (a *accounts) leave(uid, owner uint32) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if uid != 0 {
		a.all--
	}
	u := a.users[owner]
	u.mounts--
	a.dropLocked(owner, u)
}

// A mountLimits is what bounds one mount.
type mountLimits struct {
	requests int
	account  *fusefs.Account
	guests   func(vfs.Identity) *fusefs.Account // of one for all users
}
