package control

import (
	"context"
	"log/slog"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/aggrfs/aggrfs/internal/lograte"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// An Audit writes a line for each action, with who, from where, what, to whom, and what came of
// it. What is the same but for the process within a second is one line, with a count and the first
// processes; it is written when the second is over. What a user does in more ways than there is room
// for is one line of that user's, with how much of it was done, and to whom first: nobody can keep
// what another one does, or is about to do themselves, out of the log. Actions that only read are not
// noted. Its methods may be called concurrently.
type Audit struct {
	log    *slog.Logger
	window time.Duration

	mu      sync.Mutex
	lines   map[event]*line  // of this window; guarded by mu
	order   []event          // as they came; guarded by mu
	users   map[uint32]*user // who has lines in this window; guarded by mu
	uids    []uint32         // of users, as they came; guarded by mu
	leftOut int              // of users for whom there was no room; guarded by mu
	timer   *time.Timer      // ends the window; nil is that none has begun; guarded by mu
}

// A user is what one has of a window.
type user struct {
	lines int
	rest  line // what they have no line for: all of it, and
	done  int  // how much of it was done
}

const (
	auditWindow = time.Second
	// maxLines are there in a window for all users: what one user does is of few kinds, on as many
	// nodes. Beyond them each user has ownLines, and one for the rest.
	maxLines = 256
	ownLines = 16
	// maxUsers bounds the users of a window.
	maxUsers = 1024
	// maxTargets bounds the processes that a line names, in bytes.
	maxTargets = 512
)

// An event is what a line says, but for the processes.
type event struct {
	uid, gid     uint32
	cert         string // the requester's own
	peer, by     string // from where, and by whose certificate
	action       string
	errno        syscall.Errno
	targetOfNode string
}

type line struct {
	at      time.Time // of the first
	count   int
	targets []byte
	cut     bool
}

// NewAudit makes one that writes to log.
func NewAudit(log *slog.Logger) *Audit { return &Audit{log: log, window: auditWindow} }

// Note notes an action on a target, which is on that node ("" is this one), and what came of it.
func (a *Audit) Note(who vfs.Identity, from vfs.Origin, act Action, node, target string, errno syscall.Errno) {
	if act.Kind() == "" || !a.log.Enabled(context.Background(), slog.LevelInfo) {
		return
	}
	e := event{who.UID, who.GID, lograte.Cut(who.Cert), lograte.Cut(from.Peer), lograte.Cut(from.Cert), lograte.Cut(act.String()), errno, node}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.timer == nil {
		a.timer = time.AfterFunc(a.window, a.Flush)
	}
	l := a.lines[e]
	if l == nil {
		u := a.userLocked(e.uid)
		switch {
		case u == nil:
			a.leftOut++
			return
		case len(a.lines) >= maxLines && u.lines >= ownLines:
			if e.errno == 0 {
				u.done++
			}
			u.rest.note(target)
			return
		}
		if a.lines == nil {
			a.lines = make(map[event]*line)
		}
		u.lines++
		l = new(line)
		a.lines[e], a.order = l, append(a.order, e)
	}
	l.note(target)
}

// userLocked is what a user has of the window; nil is that there is no room for them. Of root there
// always is.
func (a *Audit) userLocked(uid uint32) *user {
	u := a.users[uid]
	if u == nil && (len(a.users) < maxUsers || uid == 0) {
		if a.users == nil {
			a.users = make(map[uint32]*user)
		}
		u = new(user)
		a.users[uid], a.uids = u, append(a.uids, uid)
	}
	return u
}

// note counts an action on a target.
func (l *line) note(target string) {
	if l.count++; l.count == 1 {
		l.at = time.Now()
	}
	switch {
	case l.cut:
	case len(l.targets)+len(target) > maxTargets:
		l.cut = true
		l.targets = append(l.targets, "..."...)
	default:
		if len(l.targets) > 0 {
			l.targets = append(l.targets, ' ')
		}
		l.targets = append(l.targets, target...)
	}
}

// Flush writes what has been noted.
func (a *Audit) Flush() {
	a.mu.Lock()
	lines, order, users, uids, leftOut := a.lines, a.order, a.users, a.uids, a.leftOut
	if a.timer != nil {
		a.timer.Stop()
	}
	a.lines, a.order, a.users, a.uids, a.leftOut, a.timer = nil, nil, nil, nil, 0, nil
	a.mu.Unlock()
	for _, e := range order {
		a.write(e, lines[e])
	}
	for _, uid := range uids {
		if u := users[uid]; u.rest.count > 0 {
			a.log.Warn("control: a user's actions of other kinds in this second", "uid", uid,
				"left_out", u.rest.count, "done", u.done, "targets", string(u.rest.targets))
		}
	}
	if leftOut > 0 {
		a.log.Warn("control: actions of other users in this second", "left_out", leftOut)
	}
}

func (a *Audit) write(e event, l *line) {
	result := "ok"
	if e.errno != 0 {
		result = ErrnoName(e.errno)
	}
	attrs := []slog.Attr{
		slog.Uint64("uid", uint64(e.uid)), slog.Uint64("gid", uint64(e.gid)), slog.String("cert", e.cert),
		slog.String("peer", e.peer), slog.String("peer_cert", e.by), slog.String("action", e.action),
	}
	if e.targetOfNode != "" {
		attrs = append(attrs, slog.String("node", e.targetOfNode))
	}
	attrs = append(attrs, slog.String("targets", string(l.targets)), slog.String("result", result))
	if l.count > 1 {
		attrs = append(attrs, slog.String("count", strconv.Itoa(l.count)))
	}
	r := slog.NewRecord(l.at, slog.LevelInfo, "control", 0)
	r.AddAttrs(attrs...)
	_ = a.log.Handler().Handle(context.Background(), r) // as of all lines of a log
}
