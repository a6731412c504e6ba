package userdb

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os/exec"
	"os/user"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/aggrfs/aggrfs/internal/command"
)

const (
	// maxOutput bounds what getent may answer, in bytes: a user in 65536 groups,
	// the kernel's limit, makes 11 each; a group has its members in its line.
	maxOutput = 1 << 20
	maxError  = 200                    // of its standard error, in bytes
	waitDelay = 500 * time.Millisecond // for its output to close once it is dead
)

// errNoGetent says that os/user is all there is: there is no getent, or it does
// not know what groups a user is in (musl's does not).
var errNoGetent = errors.New("there is no getent")

// databases are getent's names of what is asked for.
var databases = map[kind]string{
	userByName: "passwd", userByID: "passwd", groupByName: "group", groupByID: "group", groupsOf: "initgroups",
}

// Exit statuses, see getent(1).
const (
	exitNoDatabase = 1
	exitNotFound   = 2
)

// local is package os/user; tests put something else in its place.
type local struct {
	user, userID   func(string) (*user.User, error)
	group, groupID func(string) (*user.Group, error)
	groups         func(*user.User) ([]string, error)
}

var osUser = local{
	user: user.Lookup, userID: user.LookupId, group: user.LookupGroup, groupID: user.LookupGroupId,
	groups: (*user.User).GroupIds,
}

// find asks os/user and then getent.
func (d *DB) find(ctx context.Context, l *lane, q question) (answer, error) {
	if q.kind == groupsOf {
		a, err := d.getent(ctx, l, q)
		if errors.Is(err, errNoGetent) {
			return d.local.groupsOf(q.key)
		}
		return a, err
	}
	a, err := d.local.find(q)
	if err == nil {
		return a, nil
	}
	a, errGetent := d.getent(ctx, l, q)
	if errors.Is(errGetent, errNoGetent) {
		return answer{}, err
	}
	return a, errGetent
}

// find asks for one entry.
func (l local) find(q question) (a answer, err error) {
	switch q.kind {
	case userByName, userByID:
		lookup := l.user
		if q.kind == userByID {
			lookup = l.userID
		}
		u, err := lookup(q.key)
		if err != nil {
			return a, known(err)
		}
		a.user, err = newUser(u.Username, u.Uid, u.Gid)
		return a, err
	default:
		lookup := l.group
		if q.kind == groupByID {
			lookup = l.groupID
		}
		g, err := lookup(q.key)
		if err != nil {
			return a, known(err)
		}
		a.gid, err = id(g.Gid)
		return a, err
	}
}

// groupsOf are the groups of a user, as far as os/user knows.
func (l local) groupsOf(name string) (a answer, err error) {
	u, err := l.user(name)
	if err != nil {
		return a, known(err)
	}
	texts, err := l.groups(u)
	if err != nil {
		return a, err
	}
	a.groups, err = ids(texts)
	return a, err
}

// known is an error of package os/user in the words of this one.
func known(err error) error {
	var (
		name    user.UnknownUserError
		uid     user.UnknownUserIdError
		group   user.UnknownGroupError
		groupID user.UnknownGroupIdError
	)
	if errors.As(err, &name) || errors.As(err, &uid) || errors.As(err, &group) || errors.As(err, &groupID) {
		return ErrUnknown
	}
	return err
}

// getent asks getent(1) for one entry.
func (d *DB) getent(ctx context.Context, l *lane, q question) (answer, error) {
	// The key cannot be taken for an option: see validName. There is no "--"
	// before it, as not every getent knows that.
	out, err := d.run(ctx, l, databases[q.kind], q.key)
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit) && exit.ExitCode() == exitNotFound:
		return answer{}, ErrUnknown
	case errors.As(err, &exit) && exit.ExitCode() == exitNoDatabase && q.kind == groupsOf:
		return answer{}, errNoGetent
	case err != nil:
		return answer{}, err
	}
	a, err := parse(q, out)
	if err != nil {
		err = fmt.Errorf("%s: %w", d.cfg.Getent, err)
	}
	return a, err
}

// run runs getent in a lane, unless it has been silent there lately, and returns what it
// printed. One that cannot be ended, since it is in a wait that the kernel does not break
// off, is left alone, in its place among those that may run at once.
func (d *DB) run(ctx context.Context, l *lane, args ...string) (string, error) {
	if d.cfg.Getent == "" {
		return "", errNoGetent
	}
	if l.silence.open(d.cfg.Now()) {
		return "", errSilent
	}
	if err := d.turn(ctx, l); err != nil {
		return "", err
	}
	began := time.Now()
	// One that had little time, since its turn came late, says nothing of the service.
	note := func(missed bool) {
		if !missed || time.Since(began) >= d.cfg.Timeout/2 {
			l.silence.note(missed, d.cfg.Now(), d.cfg.FailedAge)
		}
	}
	noAnswer := fmt.Errorf("%s gave no answer within %v", d.cfg.Getent, d.cfg.Timeout)
	running, kill := context.WithCancel(ctx)
	defer kill()
	out, errOut := &command.Limited{Max: maxOutput, Over: kill}, &command.Limited{Max: maxError}
	cmd := exec.CommandContext(running, d.cfg.Getent, args...)
	cmd.Env, cmd.Dir = []string{"LC_ALL=C"}, "/"
	cmd.Stdout, cmd.Stderr = out, errOut
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) } // with all that it started
	cmd.WaitDelay = waitDelay
	ended := make(chan error, 1)
	go func() {
		defer func() { <-l.slots }()
		ended <- cmd.Run()
	}()
	over := ctx.Done()
	var giveUp <-chan time.Time
	for {
		select {
		case err := <-ended:
			note(errors.Is(context.Cause(ctx), context.DeadlineExceeded))
			switch {
			case ctx.Err() != nil:
				return "", noAnswer
			case out.IsOver():
				err = fmt.Errorf("%s answered more than %d bytes", d.cfg.Getent, maxOutput)
			case err != nil:
				err = fmt.Errorf("%s: %w: %q", d.cfg.Getent, err, strings.TrimSpace(errOut.String()))
			}
			return out.String(), err
		case <-over:
			over, giveUp = nil, time.After(2*waitDelay)
		case <-giveUp:
			note(true)
			return "", noAnswer
		}
	}
}

// turn waits for a place among those that may run at once. That none comes says nothing
// of the name service. In a lane with a limit nobody waits for a while then.
func (d *DB) turn(ctx context.Context, l *lane) error {
	select {
	case l.slots <- struct{}{}:
		l.crowd.note(false, d.cfg.Now(), d.cfg.FailedAge)
		return nil
	default:
	}
	if l.most > 0 && l.crowd.open(d.cfg.Now()) {
		return ErrBusy
	}
	select {
	case l.slots <- struct{}{}:
		l.crowd.note(false, d.cfg.Now(), d.cfg.FailedAge)
		return nil
	case <-ctx.Done():
		l.crowd.note(errors.Is(ctx.Err(), context.DeadlineExceeded), d.cfg.Now(), d.cfg.FailedAge)
		return fmt.Errorf("%w: %d, and none was answered within %v", ErrBusy, cap(l.slots), d.cfg.Timeout)
	}
}

// maxName is the longest name, in bytes: useradd(8) allows 256, LDAP more, and
// names are elements of paths.
const maxName = 255

// validName reports whether name may be asked for: it can be in the user
// database, and is neither an option nor a number to getent, whose numbers are
// those of strtoul(3), with blanks and a sign before them.
func validName(name string) bool {
	if name == "" || len(name) > maxName || !utf8.ValidString(name) {
		return false
	}
	if strings.ContainsFunc(name, func(r rune) bool { return unicode.IsControl(r) || r == ':' || r == '/' }) {
		return false
	}
	return strings.TrimSpace(name) == name && name[0] != '-' && name[0] != '+' && strings.Trim(name, "0123456789") != ""
}

// id reads a user's or group's number.
func id(text string) (uint32, error) {
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("%q is no id", text)
	}
	if n == math.MaxUint32 {
		return 0, fmt.Errorf("the id %d is nobody's", n)
	}
	return uint32(n), nil
}

func ids(texts []string) ([]uint32, error) {
	all := make([]uint32, len(texts))
	for i, text := range texts {
		n, err := id(text)
		if err != nil {
			return nil, err
		}
		all[i] = n
	}
	return all, nil
}

func newUser(name, uid, gid string) (u User, err error) {
	if !validName(name) {
		return u, fmt.Errorf("%q is no user's name", name)
	}
	if u.UID, err = id(uid); err != nil {
		return User{}, err
	}
	if u.GID, err = id(gid); err != nil {
		return User{}, err
	}
	u.Name = name
	return u, nil
}

// parse reads getent's answer: a line as in passwd(5) or group(5), or a name
// and the numbers of groups.
func parse(q question, out string) (a answer, err error) {
	line, _, _ := strings.Cut(out, "\n")
	if q.kind == groupsOf {
		numbers, ours := strings.CutPrefix(line, q.key)
		if !ours || strings.TrimLeft(numbers, " ") == numbers && numbers != "" {
			return a, fmt.Errorf("%q are not the groups of %q", shorten(line), q.key)
		}
		a.groups, err = ids(strings.Fields(numbers))
		return a, err
	}
	fields := strings.Split(line, ":")
	if len(fields) < 4 {
		return a, fmt.Errorf("%q is no entry of the user database", shorten(line))
	}
	switch q.kind {
	case userByName, userByID:
		a.user, err = newUser(fields[0], fields[2], fields[3])
	default:
		a.gid, err = id(fields[2])
	}
	if err == nil && (q.kind == userByID || q.kind == groupByID) && fields[2] != q.key {
		return answer{}, errors.New("the answer is for " + shorten(fields[2]))
	}
	return a, err
}

// shorten is text for an error.
func shorten(text string) string {
	const most = 80
	if len(text) > most {
		return text[:most] + "..."
	}
	return text
}
