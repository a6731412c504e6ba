package ninep

import (
	"context"
	"hash/maphash"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

const (
	auditWindow = time.Second
	// originLines is how many different lines of one origin are written in a window;
	// of others there is a count. trustedLines is the same for peers that are
	// trusted, who attach for many users.
	originLines  = 10
	trustedLines = 200
	// maxLines bounds a window's lines, and maxOrigins the origins told apart in it.
	maxLines   = 2048
	maxOrigins = 1024
	// maxQuoted is how much of a client's text a line shows, in bytes.
	maxQuoted = 128
)

// An audit writes a line for each attach and each refusal. What is the same but for
// the port or the process within a window is one line, that of the first, with a
// count; it is written when the window ends. Of who causes many different lines there
// are some, and a count of the others.
type audit struct {
	log    *slog.Logger
	window time.Duration

	mu      sync.Mutex
	lines   map[string]*auditLine // of this window
	order   []*auditLine          // as they came
	origins map[string]*auditOrigin
	timer   *time.Timer // ends the window; nil while there is none
}

// An auditLine is a line that is not written yet.
type auditLine struct {
	at    time.Time // of the first
	level slog.Level
	what  string
	attrs []slog.Attr
	count int
}

// An auditOrigin is what one origin has caused in a window.
type auditOrigin struct {
	lines   int            // that are different
	dropped map[string]int // how many more, by what they are called
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

// attach notes how an attach went. who is nil where the peer was refused before
// it was known whom it attaches for, memo where the peer is not trusted.
func (a *audit) attach(p Peer, r *request, who *vfs.Identity, err error, memo *attachMemo) {
	var attrs []slog.Attr
	if who != nil {
		attrs = append(attrs, slog.Any("uid", who.UID), slog.Any("gid", who.GID), slog.Int("groups", len(who.Groups)))
	}
	attrs = append(attrs, slog.String("cert", p.Cert), slog.String("uname", quoted(r.uname)),
		slog.Any("n_uname", r.nuname), slog.String("aname", r.aname))
	if err != nil {
		a.note(slog.LevelWarn, "9P attach refused", p, memo != nil, nil, append(attrs, slog.Any("error", err)))
		return
	}
	a.note(slog.LevelInfo, "9P attach", p, memo != nil, memo, attrs)
}

// refuse notes the refusal of a connection.
func (a *audit) refuse(p Peer, what string, err error) {
	a.note(slog.LevelWarn, what, p, false, nil, []slog.Attr{slog.Any("error", err)})
}

// note takes a line. One that memo has, and that is none of this window's, is not
// written.
func (a *audit) note(level slog.Level, what string, p Peer, trusted bool, memo *attachMemo, attrs []slog.Attr) {
	if !a.log.Enabled(context.Background(), level) {
		return
	}
	from := p.host()
	key := lineKey(what, from, attrs)
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
	if a.timer == nil {
		a.lines, a.origins = make(map[string]*auditLine), make(map[string]*auditOrigin)
		a.timer = time.AfterFunc(a.window, a.turn)
	}
	o, most := a.originLocked(from), originLines
	if trusted {
		most = trustedLines
	}
	if o.lines >= most || len(a.order) >= maxLines {
		if o.dropped == nil {
			o.dropped = make(map[string]int)
		}
		o.dropped[what]++
		return
	}
	o.lines++
	l := &auditLine{time.Now(), level, what, append([]slog.Attr{slog.String("peer", p.String())}, attrs...), 1}
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

func (a *audit) originLocked(from string) *auditOrigin {
	if a.origins[from] == nil && len(a.origins) >= maxOrigins {
		from = "others"
	}
	o := a.origins[from]
	if o == nil {
		o = new(auditOrigin)
		a.origins[from] = o
	}
	return o
}

// turn ends the window: it writes its lines, and what there is no line of.
func (a *audit) turn() {
	a.mu.Lock()
	order, origins := a.order, a.origins
	if a.timer != nil {
		a.timer.Stop()
	}
	a.lines, a.order, a.origins, a.timer = nil, nil, nil, nil
	a.mu.Unlock()
	for _, l := range order {
		if l.count > 1 {
			l.attrs = append(l.attrs, slog.Int("count", l.count))
		}
		a.write(l)
	}
	for from, o := range origins {
		for what, n := range o.dropped {
			level, name := slog.LevelWarn, "9P refusals not logged"
			if what == "9P attach" {
				level, name = slog.LevelInfo, "9P attaches not logged"
			}
			a.write(&auditLine{time.Now(), level, name, []slog.Attr{slog.String("peer", from), slog.Int("count", n)}, 1})
		}
	}
}

// write writes a line with the time at which it came.
func (a *audit) write(l *auditLine) {
	r := slog.NewRecord(l.at, l.level, l.what, 0)
	r.AddAttrs(l.attrs...)
	_ = a.log.Handler().Handle(context.Background(), r) // as slog does
}

// host is whose lines are counted together: the user on a unix socket, else the
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
