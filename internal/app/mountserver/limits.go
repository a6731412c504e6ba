package mountserver

import (
	"fmt"
	"sync"
	"syscall"

	"github.com/aggrfs/aggrfs/pkg/fusefs"
)

// Limits is what users may have this process do for their mounts. Zero is the default of each.
// Root has no limits but RootRequests.
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
	// mounts; a new one is ENFILE. Default 8388608: three times 400,000 processes with six names
	// each.
	UserInodes int64
	// UserBytes is what all that a user has open may hold in memory; one more is ENFILE. Default
	// 512 MiB.
	UserBytes int64
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
	mounts int // guarded by mu of accounts
	fuse   *fusefs.Account
}

func newAccounts(l Limits, payer func(uint32) (uint32, bool)) *accounts {
	return &accounts{Limits: l.withDefaults(), payer: payer, users: make(map[uint32]*account)}
}

// enter counts one mount more on a user's account and returns what is to bound it, and what
// takes it off. ENFILE: there are too many.
func (a *accounts) enter(uid uint32) (m mountLimits, leave func(), err error) {
	if uid == 0 {
		return mountLimits{requests: a.RootRequests}, func() {}, nil
	}
	owner := uid
	if a.payer != nil {
		owner, _ = a.payer(uid)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	u := a.users[owner]
	switch {
	case u != nil && u.mounts >= a.UserMounts:
		return m, nil, fmt.Errorf("you have %d mounts, and one user may have no more: end one first: %w", u.mounts, syscall.ENFILE)
	case a.all >= a.Mounts:
		return m, nil, fmt.Errorf("users have %d mounts, and the server takes no more: try again later: %w", a.all, syscall.ENFILE)
	case u == nil:
		u = &account{fuse: fusefs.NewAccount(fusefs.Limit{Requests: a.UserRequests, Inodes: a.UserInodes, Bytes: a.UserBytes})}
		a.users[owner] = u
	}
	u.mounts++
	a.all++
	return mountLimits{a.MountRequests, u.fuse}, func() { a.leave(owner) }, nil
}

func (a *accounts) leave(owner uint32) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.all--
	u := a.users[owner]
	if u.mounts--; u.mounts == 0 {
		delete(a.users, owner)
	}
}

// A mountLimits is what bounds one mount.
type mountLimits struct {
	requests int
	account  *fusefs.Account
}
