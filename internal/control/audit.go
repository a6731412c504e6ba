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
// processes; it is written when the second is over. Actions that only read are not noted. Its
// methods may be called concurrently.
type Audit struct {
	log    *slog.Logger
	window time.Duration

	mu      sync.Mutex
	lines   map[event]*line // of this window; guarded by mu
	order   []event         // as they came; guarded by mu
	leftOut int             // guarded by mu
	timer   *time.Timer     // ends the window; nil is that none has begun; guarded by mu
}

const (
	auditWindow = time.Second
	// maxLines bounds the lines of a window: what one user does is of few kinds.
	maxLines = 256
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
		if len(a.lines) >= maxLines {
			a.leftOut++
			return
		}
		if a.lines == nil {
			a.lines = make(map[event]*line)
		}
		l = &line{at: time.Now()}
		a.lines[e], a.order = l, append(a.order, e)
	}
	l.count++
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
	lines, order, leftOut := a.lines, a.order, a.leftOut
	if a.timer != nil {
		a.timer.Stop()
	}
	a.lines, a.order, a.leftOut, a.timer = nil, nil, 0, nil
	a.mu.Unlock()
	for _, e := range order {
		a.write(e, lines[e])
	}
	if leftOut > 0 {
		a.log.Warn("control: actions of other kinds in this second", "left_out", leftOut)
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
