package userdb

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"time"
)

// ErrUnknown says that there is no such user or group.
var ErrUnknown = errors.New("not in the user database")

// Config says where to look and for how long. Zero fields stand for the
// defaults.
type Config struct {
	Getent     string           // absolute path of getent(1); default the first of /usr/bin/getent and /bin/getent that exists; without one only os/user is asked
	Now        func() time.Time // the clock of what is kept; default time.Now
	Timeout    time.Duration    // for one question; default 2 s
	Age        time.Duration    // for which an answer is kept; default 1 min
	UnknownAge time.Duration    // for which ErrUnknown is kept; default 10 s
	StaleAge   time.Duration    // for which an answer stands in for later ones that fail; default 10 min
	FailedAge  time.Duration    // for which a failure is kept, and a name service that does not answer is not asked; default 2 s
	Entries    int              // how many answers are kept in each lane; default 4096
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

// A DB is the user database. All methods may be called concurrently, and answer
// soon after their context ends. It holds no resources and needs no closing.
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

// New makes a database that has nothing kept.
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
	if uid, ok := number(nameOrNumber); ok {
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
	q := question{kind: userByID, key: strconv.FormatUint(uint64(uid), 10)}
	if _, err := id(q.key); err != nil {
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
	if _, ok := number(nameOrNumber); ok {
		q.kind = groupByID
	} else if !validName(nameOrNumber) {
		return 0, fmt.Errorf("group %q: %w", nameOrNumber, ErrUnknown)
	}
	a, err := d.ask(ctx, d.rights, 0, q)
	return a.gid, err
}
