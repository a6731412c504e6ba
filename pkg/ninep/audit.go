package ninep

import (
	"context"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

const (
	// refusalLines is how many refusals of one origin are logged in auditWindow;
	// the others are counted.
	refusalLines = 10
	auditWindow  = time.Second
	// maxOrigins is how many origins are told apart in one window.
	maxOrigins = 1024
	// maxQuoted is how much of a client's text a line shows, in bytes.
	maxQuoted = 128
)

// An audit writes a line for each attach and each refusal. Who is refused again
// and again gets some lines and then a count of the others, once in a window.
type audit struct {
	log    *slog.Logger
	window time.Duration

	mu      sync.Mutex
	refused map[string]int // refusals in this window by origin
	timer   *time.Timer    // ends the window; nil while there is none
}

// attach notes how an attach went. who is nil where the peer was refused before
// it was known whom it attaches for.
func (a *audit) attach(p Peer, r *request, who *vfs.Identity, err error) {
	var attrs []slog.Attr
	if who != nil {
		attrs = append(attrs, slog.Any("uid", who.UID), slog.Any("gid", who.GID), slog.Int("groups", len(who.Groups)))
	}
	attrs = append(attrs, slog.String("cert", p.Cert), slog.String("uname", quoted(r.uname)),
		slog.Any("n_uname", r.nuname), slog.String("aname", r.aname))
	if err != nil {
		a.refuse(p, "9P attach refused", err, attrs...)
		return
	}
	a.write(slog.LevelInfo, "9P attach", p.String(), attrs...)
}

// refuse notes a refusal.
func (a *audit) refuse(p Peer, what string, err error, attrs ...slog.Attr) {
	if a.count(p.origin()) {
		a.write(slog.LevelWarn, what, p.String(), append(attrs, slog.Any("error", err))...)
	}
}

func (a *audit) write(level slog.Level, what, peer string, attrs ...slog.Attr) {
	a.log.LogAttrs(context.Background(), level, what, append([]slog.Attr{slog.String("peer", peer)}, attrs...)...)
}

// count counts a refusal and tells whether it is logged.
func (a *audit) count(origin string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, known := a.refused[origin]; !known && len(a.refused) >= maxOrigins {
		origin = "others"
	}
	if a.timer == nil {
		a.refused = make(map[string]int)
		a.timer = time.AfterFunc(a.window, a.turn)
	}
	a.refused[origin]++
	return a.refused[origin] <= refusalLines
}

// turn ends the window: it says what has not been logged in it.
func (a *audit) turn() {
	a.mu.Lock()
	refused := a.refused
	if a.timer != nil {
		a.timer.Stop()
	}
	a.refused, a.timer = nil, nil
	a.mu.Unlock()
	for origin, n := range refused {
		if n > refusalLines {
			a.write(slog.LevelWarn, "9P refusals not logged", origin, slog.Int("count", n-refusalLines))
		}
	}
}

// origin is what is common to a peer's connections: the user on a unix socket,
// else the machine.
func (p Peer) origin() string {
	if p.HasCred {
		return p.Network + " uid " + strconv.FormatUint(uint64(p.UID), 10)
	}
	if host, _, err := net.SplitHostPort(p.Addr); err == nil {
		return p.Network + " " + host
	}
	return p.Network + " " + p.Addr
}

// quoted is a client's text as a log may show it, whatever it holds.
func quoted(text string) string {
	if len(text) > maxQuoted {
		return strconv.Quote(text[:maxQuoted]) + " and " + strconv.Itoa(len(text)-maxQuoted) + " bytes"
	}
	return strconv.Quote(text)
}
