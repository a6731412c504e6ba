// Package userdb resolves users and groups as this machine's name service has
// them.
//
// # Model
//
// In static programs, as they are installed, package os/user reads /etc/passwd and
// /etc/group only; the users of a cluster are in LDAP, SSSD or NIS. So os/user is
// asked first, and what it does not know is asked of getent(1), which goes where
// nsswitch.conf(5) says. A user's groups are asked of getent at once: that
// somebody is in some group of /etc/group says nothing of the others.
//
// # Freshness
//
// A bounded number of answers is cached: who somebody is for Config.Age, that there is
// nobody of that name for the shorter Config.UnknownAge, and that the question failed
// for the still shorter Config.FailedAge. While a name service fails, the last good
// answer about somebody is given as stale up to Config.StaleAge; that there is nobody of
// that name is never stale. Callers with the same question share one look-up.
//
// # Failure
//
// A name that nobody has is ErrUnknown. Any other error is a failure to find out,
// and nothing follows from it. (getent cannot tell the two apart where a source
// is out of reach and nsswitch.conf lets it go on: that is ErrUnknown, too.) A
// question takes at most Config.Timeout, the wait for its turn included (and a second
// more where getent cannot be ended). A name service that leaves two questions, one after
// the other, without an answer is not asked for Config.FailedAge: what is not cached fails at
// once then, so that a list of a hundred users does not take a hundred timeouts. A wait
// for a turn is no such failure.
//
// # Lanes
//
// Questions on whose answers rights depend are asked apart from those about names that
// clients choose (DB.Requested) and those about names that are only shown
// (DB.UserName): each sort has its own processes, its own bounded answers and its own
// idea of whether the service answers. The latter two are asked for a few at a time;
// more are refused at once. So nobody can take others' rights away by asking.
//
// Names come from anywhere, a network too. One that could be taken for an option
// or for a number, or that cannot be in the user database, is ErrUnknown without
// being asked of anyone.
package userdb

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aggrfs/aggrfs/internal/spelling"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// ErrUnknown says that there is no such user or group.
var ErrUnknown = errors.New("not in the user database")

// Config says where to look and for how long. Zero fields stand for the
// defaults.
type Config struct {
	Getent     string           // absolute path of getent(1); default the first of /usr/bin/getent and /bin/getent that exists; without one only os/user is asked
	Now        func() time.Time // the clock of the cache; default time.Now
	Timeout    time.Duration    // for one question; default 2 s
	Age        time.Duration    // for which an answer is cached; default 1 min
	UnknownAge time.Duration    // for which ErrUnknown is cached; default 10 s
	StaleAge   time.Duration    // for which an answer stands in for later ones that fail; default 10 min
	FailedAge  time.Duration    // for which a failure is cached, and a name service that does not answer is not asked; default 2 s
	Entries    int              // how many answers are cached in each lane; default 4096
	Processes  int              // how many getents run at once for questions about rights; default 4
	SubUID     string           // subuid(5); default /etc/subuid
	SubGID     string           // subgid(5); default /etc/subgid
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func (c *Config) setDefaults() {
	for _, path := range []string{"/usr/bin/getent", "/bin/getent"} {
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			setDefault(&c.Getent, path)
		}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	setDefault(&c.Timeout, 2*time.Second)
	setDefault(&c.Age, time.Minute)
	setDefault(&c.UnknownAge, 10*time.Second)
	setDefault(&c.StaleAge, 10*time.Minute)
	setDefault(&c.FailedAge, 2*time.Second)
	setDefault(&c.SubUID, "/etc/subuid")
	setDefault(&c.SubGID, "/etc/subgid")
	setDefault(&c.Entries, 4096)
	setDefault(&c.Processes, 4)
}

// A DB is the user database. All methods may be called concurrently, and return when
// their context ends. It needs no closing: a look-up ends soon after nobody waits for it.
type DB struct {
	cfg   Config
	local local

	rights    *lane // on whose answers rights depend: who somebody is, whom a rule is for
	requested *lane // about names that clients chose
	shown     *lane // about numbers that are shown as names, of processes' users

	subUID, subGID grants
}

// Limits of the lanes on which no rights depend.
const (
	otherProcesses = 2
	maxRequested   = 32 // at once
	maxByAccount   = 4  // of these for one user
	maxShown       = 64 // at once
)

// New makes a database with an empty cache.
func New(cfg Config) *DB {
	cfg.setDefaults()
	return &DB{
		cfg: cfg, local: osUser,
		rights:    newLane(cfg.Processes, 0, 0, cfg.Entries),
		requested: newLane(otherProcesses, maxRequested, maxByAccount, cfg.Entries),
		shown:     newLane(otherProcesses, maxShown, maxShown, cfg.Entries),
		subUID:    grants{path: cfg.SubUID}, subGID: grants{path: cfg.SubGID},
	}
}

// A User is an entry of the user database.
type User struct {
	Name     string
	UID, GID uint32 // neither is 4294967295, which is nobody's
}

// User is the user of that name, or of that number in decimal. The name in the
// answer is the one that the user database has, which may differ from the one
// asked for in case or by a domain.
func (d *DB) User(ctx context.Context, nameOrNumber string) (User, error) {
	if uid, ok := Number(nameOrNumber); ok {
		return d.ByUID(ctx, uid)
	}
	if !validName(nameOrNumber) {
		return User{}, fmt.Errorf("user %q: %w", nameOrNumber, ErrUnknown)
	}
	a, err := d.ask(ctx, d.rights, 0, question{kind: userByName, key: nameOrNumber})
	return a.user, err
}

// ByUID is the user of that number.
func (d *DB) ByUID(ctx context.Context, uid uint32) (User, error) {
	q := question{kind: userByID, key: decimal(uid)}
	if uid == vfs.NoID {
		return User{}, fmt.Errorf("%v: %w", q, ErrUnknown)
	}
	a, err := d.ask(ctx, d.rights, 0, q)
	return a.user, err
}

// Groups are the supplementary groups of a user, sorted, without u.GID. Only
// u.Name is asked for.
func (d *DB) Groups(ctx context.Context, u User) ([]uint32, error) {
	if !validName(u.Name) {
		return nil, fmt.Errorf("user %q: %w", u.Name, ErrUnknown)
	}
	a, err := d.ask(ctx, d.rights, 0, question{kind: groupsOf, key: u.Name})
	if err != nil {
		return nil, err
	}
	groups := make([]uint32, 0, len(a.groups))
	for _, g := range a.groups {
		if g != u.GID {
			groups = append(groups, g)
		}
	}
	slices.Sort(groups)
	return slices.Compact(groups), nil
}

// Group is the number of the group of that name. One of a number in decimal is
// that number, if there is such a group.
func (d *DB) Group(ctx context.Context, nameOrNumber string) (uint32, error) {
	q := question{kind: groupByName, key: nameOrNumber}
	if _, ok := Number(nameOrNumber); ok {
		q.kind = groupByID
	} else if !validName(nameOrNumber) {
		return 0, fmt.Errorf("group %q: %w", nameOrNumber, ErrUnknown)
	}
	a, err := d.ask(ctx, d.rights, 0, q)
	return a.gid, err
}

// Requested is the number of a user whose name a client chose, who is asked for on the
// account of the client's user; a number stands for itself. Nothing that decides about
// rights waits for it. While too many others are asked for it is ErrBusy.
func (d *DB) Requested(ctx context.Context, account uint32, name string) (uint32, error) {
	if n, ok := Number(name); ok {
		return n, nil
	}
	if !validName(name) {
		return 0, fmt.Errorf("user %q: %w", name, ErrUnknown)
	}
	a, err := d.ask(ctx, d.requested, account, question{kind: userByName, key: name})
	return a.user.UID, err
}

// UserName is the name of a user by number, to show it, or the number where the database
// does not say. Nothing that decides about rights waits for it.
func (d *DB) UserName(uid uint32) string {
	q := question{kind: userByID, key: decimal(uid)}
	if uid == vfs.NoID {
		return q.key
	}
	a, err := d.ask(context.Background(), d.shown, 0, q)
	if err != nil || !vfs.ValidName(a.user.Name) {
		return q.key
	}
	return a.user.Name
}

// Identity is a user, by name or number, with all groups. One who is not in the
// user database and was named by number has the overflow group and no other; the
// superuser is who they are wherever they are.
func (d *DB) Identity(ctx context.Context, nameOrNumber string) (vfs.Identity, error) {
	u, err := d.User(ctx, nameOrNumber)
	if uid, ok := Number(nameOrNumber); ok && errors.Is(err, ErrUnknown) {
		u, err = User{UID: uid, GID: vfs.OverflowID}, nil
	}
	if err != nil {
		return vfs.Identity{}, err
	}
	if u.UID == vfs.Root.UID {
		return vfs.Root, nil
	}
	who := vfs.Identity{UID: u.UID, GID: u.GID}
	if u.Name != "" {
		if who.Groups, err = d.Groups(ctx, u); err != nil {
			return vfs.Identity{}, err
		}
	}
	return who, nil
}

// Payer says on whose account the memory used for a user counts, where there are limits:
// the owner of a subordinate id, else the user; and whether the database has them. It
// decides no rights. The files of subordinate ids are asked first: to ask the database
// about each of 65536 ids takes long.
func (d *DB) Payer(uid uint32) (owner uint32, named bool) {
	if name, ok := d.Subordinate(uid); ok && uid != 0 {
		if u, err := d.User(context.Background(), name); err == nil && u.UID != 0 {
			return u.UID, true
		}
	}
	_, err := d.ByUID(context.Background(), uid)
	return uid, err == nil
}

// NearestUser is the user's name that another was probably meant to be, or "". It looks
// at the names that the name service lists, which are not all that there are, and takes as
// long as a question.
func (d *DB) NearestUser(ctx context.Context, name string) string {
	return spelling.Nearest(name, d.list(ctx, "passwd"))
}

// NearestGroup is NearestUser for groups.
func (d *DB) NearestGroup(ctx context.Context, name string) string {
	return spelling.Nearest(name, d.list(ctx, "group"))
}

// list is the valid names in a database: those that getent lists, and the local ones, some twice.
func (d *DB) list(ctx context.Context, database string) (names []string) {
	ctx, cancel := context.WithTimeout(ctx, d.cfg.Timeout)
	defer cancel()
	text, _ := d.run(ctx, d.rights, database)   // of too many the first
	local, _ := os.ReadFile("/etc/" + database) // where there is none, it has none
	for line := range strings.Lines(text + "\n" + string(local)) {
		if name, _, entry := strings.Cut(line, ":"); entry && validName(name) {
			names = append(names, name)
		}
	}
	return names
}

// Number reports whether text is the number of a user or group, in decimal without
// leading zeros, and which. 4294967295 is nobody's number.
func Number(text string) (uint32, bool) {
	n, err := id(text)
	return n, err == nil && decimal(n) == text
}

func decimal(id uint32) string { return strconv.FormatUint(uint64(id), 10) }

// Subordinate reports whose subordinate user id a number is, by subuid(5): whoever
// acts as that number is that user, or another who has the number. The owner is a
// name or a number, as the file has it.
func (d *DB) Subordinate(uid uint32) (owner string, is bool) { return d.subUID.of(uid, d.cfg.Now()) }

// SubordinateGroup is Subordinate for a group's number, by subgid(5).
func (d *DB) SubordinateGroup(gid uint32) (owner string, is bool) {
	return d.subGID.of(gid, d.cfg.Now())
}
