package ninep

import (
	"context"
	"hash/maphash"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aggrfs/aggrfs/internal/lograte"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

const (
	auditWindow = time.Second
	// maxQuoted is how much of a client's text a line shows, in bytes.
	maxQuoted = 128
)

// An audit writes a line for each attach, each refusal and each connection that ends
// by an error. What is the same but for the port or the process within a window is one
// line, that of the first, with a count; it is written when the window ends. Who
// causes many different lines, at once or for long, has some, and now and then a count
// of the others. So that nobody fills a disk all that a peer can cause at will comes
// here, whoever causes lines is known as limits know them (see origin), and all
// together get no more than allLines says.
type audit struct {
	log    *slog.Logger
	window time.Duration
	now    func() time.Time

	attaches, refusals atomic.Int64

	mu       sync.Mutex
	lines    map[string]*auditLine // of this window; nil is none
	order    []*auditLine          // as they came
	origins  map[lineOrigin]*auditOrigin
	all      [2]lograte.Bucket // of others, and of trusted peers
	reported time.Time         // when there were counts last
	tidied   time.Time         // when origins were last forgotten
	timer    *time.Timer       // ends the window, or tidies up; nil before the first
}

// An auditLine is a line that is not written yet.
type auditLine struct {
	at    time.Time // of the first
	level slog.Level
	what  string
	attrs []slog.Attr
	count int
}

func newAudit(log *slog.Logger) *audit {
	return &audit{log: log, window: auditWindow, now: time.Now, all: [2]lograte.Bucket{allLines(), allLines()}}
}

// An attachMemo is which attaches of one connection have been logged. A trusted peer
// attaches again and again for the same users to see whether the server is well,
// which is no news. The zero value has none.
type attachMemo struct {
	mu   sync.Mutex
	seen map[uint64]bool
}

// maxSeen bounds an attachMemo; one that is full begins anew.
const maxSeen = 4096

var memoSeed = maphash.MakeSeed()

// again notes a line, and reports whether it was there.
func (m *attachMemo) again(key string) bool {
	h := maphash.String(memoSeed, key)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.seen[h] {
		return true
	}
	if m.seen == nil || len(m.seen) >= maxSeen {
		m.seen = make(map[uint64]bool)
	}
	m.seen[h] = true
	return false
}

// attach notes how an attach went, of a peer on that account. who is nil where the
// peer was refused before it was known whom it attaches for, memo where the peer is
// not trusted.
func (a *audit) attach(p Peer, payer *account, r *request, who *vfs.Identity, err error, memo *attachMemo) {
	var attrs []slog.Attr
	if who != nil {
		attrs = append(attrs, slog.Any("uid", who.UID), slog.Any("gid", who.GID), slog.Int("groups", len(who.Groups)))
	}
	attrs = append(attrs, slog.String("cert", shown(p.Cert)), slog.String("uname", quoted(r.uname)),
		slog.Any("n_uname", r.nuname), slog.String("aname", shown(r.aname)))
	if err != nil {
		a.refusals.Add(1)
		attrs = append(attrs, slog.String("error", lograte.Cut(err.Error())))
		a.note(slog.LevelWarn, "9P attach refused", p, payer, memo != nil, nil, attrs)
		return
	}
	a.attaches.Add(1)
	a.note(slog.LevelInfo, attachLine, p, payer, memo != nil, memo, attrs)
}

// attachLine is what the line of an attach is called.
const attachLine = "9P attach"

// warn notes what went wrong with a peer. payer is nil while nobody knows who it is.
func (a *audit) warn(p Peer, payer *account, what string, attrs ...slog.Attr) {
	a.note(slog.LevelWarn, what, p, payer, false, nil, attrs)
}

// refuse notes the refusal of a connection.
func (a *audit) refuse(p Peer, payer *account, err error) {
	a.refusals.Add(1)
	a.warn(p, payer, "9P connection refused", slog.String("error", lograte.Cut(err.Error())))
}

// note takes a line. One that memo has, and that is none of this window's, is not
// written.
func (a *audit) note(level slog.Level, what string, p Peer, payer *account, trusted bool, memo *attachMemo, attrs []slog.Attr) {
	if !a.log.Enabled(context.Background(), level) {
		return
	}
	key := lineKey(what, p.host(), attrs)
	now := a.now()
	a.mu.Lock()
	defer a.mu.Unlock()
	seen := memo != nil && memo.again(key)
	if l := a.lines[key]; l != nil {
		l.count++
		return
	}
	if seen {
		return
	}
	if a.lines == nil {
		a.lines = make(map[string]*auditLine)
		a.wakeLocked(a.window)
	}
	if full := a.spendLocked(p, payer, trusted, now); full != nil {
		if full.dropped == nil {
			full.dropped = make(map[string]int)
		}
		full.dropped[what]++
		return
	}
	l := &auditLine{time.Now(), level, what, append([]slog.Attr{slog.String("peer", lograte.Cut(p.String()))}, attrs...), 1}
	a.lines[key], a.order = l, append(a.order, l)
}

// lineKey is the same for lines that are.
func lineKey(what, from string, attrs []slog.Attr) string {
	var b strings.Builder
	b.WriteString(what)
	b.WriteByte(0)
	b.WriteString(from)
	for _, attr := range attrs {
		b.WriteByte(0)
		b.WriteString(attr.Value.String())
	}
	return b.String()
}

// wakeLocked has the audit look at what it holds after that time.
func (a *audit) wakeLocked(after time.Duration) {
	if a.timer == nil {
		a.timer = time.AfterFunc(after, a.ring)
		return
	}
	a.timer.Reset(after)
}

// ring ends the window: it writes its lines and, if that is due, counts of what there
// is no line of.
func (a *audit) ring() {
	now := a.now()
	a.mu.Lock()
	order := a.order
	a.lines, a.order = nil, nil
	if wait := reportWindows*a.window - now.Sub(a.reported); wait <= 0 {
		order = append(order, a.countsLocked(now)...)
	}
	if a.tidyLocked(now); a.origins != nil {
		a.wakeLocked(reportWindows * a.window)
	}
	a.mu.Unlock()
	a.write(order)
}

// turn writes all there is, counts with it, as when the server ends.
func (a *audit) turn() {
	now := a.now()
	a.mu.Lock()
	order := append(a.order, a.countsLocked(now)...)
	a.lines, a.order = nil, nil
	a.tidyLocked(now)
	if a.timer != nil {
		a.timer.Stop()
	}
	a.mu.Unlock()
	a.write(order)
}

// write writes lines with the time at which they came.
func (a *audit) write(lines []*auditLine) {
	for _, l := range lines {
		r := slog.NewRecord(l.at, l.level, l.what, 0)
		r.AddAttrs(l.attrs...)
		if l.count > 1 {
			r.AddAttrs(slog.Int("count", l.count))
		}
		_ = a.log.Handler().Handle(context.Background(), r) // as slog does
	}
}

// host is whose lines can be the same: those of the user on a unix socket, else the
// machine and the certificate that was shown there.
func (p Peer) host() string {
	if p.HasCred {
		return p.Network + " uid " + strconv.FormatUint(uint64(p.UID), 10)
	}
	host, _, err := net.SplitHostPort(p.Addr)
	if err != nil {
		host = p.Addr
	}
	if p.Cert != "" {
		host += " certificate " + quoted(p.Cert)
	}
	return p.Network + " " + host
}

// quoted is a client's text as a log may show it, whatever it holds.
func quoted(text string) string {
	if len(text) > maxQuoted {
		return strconv.Quote(text[:maxQuoted]) + " and " + strconv.Itoa(len(text)-maxQuoted) + " bytes"
	}
	return strconv.Quote(text)
}

// shown is a client's text where a log quotes what needs it: as it is, if it is
// short.
func shown(text string) string {
	if len(text) > maxQuoted {
		return quoted(text)
	}
	return text
}
