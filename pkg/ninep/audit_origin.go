package ninep

import (
	"cmp"
	"log/slog"
	"slices"
	"time"

	"github.com/aggrfs/aggrfs/internal/lograte"
)

// How many lines of an audit there are of whom.

const (
	// reportWindows is how many windows there are, at least, from one count of what
	// was not written to the next.
	reportWindows = 60
	// maxReports is of how many origins there are counts then; the others have one.
	maxReports = 16
	// maxOrigins bounds the origins told apart.
	maxOrigins = 1024
)

// others are the origins that are not told apart.
const others = "others"

// How many different lines are written, at once and then one each so often: of an
// origin, of the larger network around it, and of all together. Trusted peers attach
// for many users and have more, apart from the others.
func originLines(trusted bool) lograte.Bucket {
	if trusted {
		return lograte.Bucket{Burst: 200, Every: time.Second}
	}
	return lograte.Bucket{Burst: 10, Every: 10 * time.Second}
}

func wideLines() lograte.Bucket {
	return lograte.Bucket{Burst: 40, Every: 5 * time.Second}
}

func allLines() lograte.Bucket {
	return lograte.Bucket{Burst: 1024, Every: time.Second}
}

// A lineOrigin is whose lines are bounded together.
type lineOrigin struct {
	name    string
	trusted bool
}

// An auditOrigin is what one origin has caused.
type auditOrigin struct {
	lines   lograte.Bucket
	dropped map[string]int // how many lines there were not, by what they are called
}

// spendLocked counts a line for whoever causes it. Where there is no room it is the
// largest origin that has none.
func (a *audit) spendLocked(p Peer, payer *account, trusted bool, now time.Time) *auditOrigin {
	near, wide := p.networks()
	if p.HasCred || p.Cert != "" {
		wide = ""
		if payer != nil {
			near = payer.name
		}
	}
	all := &a.all[0]
	if trusted {
		all, wide = &a.all[1], ""
	}
	var around *auditOrigin
	if wide != "" && wide != near {
		if around = a.originLocked(lineOrigin{"all of " + wide, false}, wideLines(), now); !around.lines.Room(now) {
			return around
		}
	}
	o := a.originLocked(lineOrigin{near, trusted}, originLines(trusted), now)
	if !o.lines.Room(now) || !all.Room(now) {
		return o
	}
	o.lines.Take(now)
	all.Take(now)
	if around != nil {
		around.lines.Take(now)
	}
	return nil
}

func (a *audit) originLocked(from lineOrigin, lines lograte.Bucket, now time.Time) *auditOrigin {
	if a.origins[from] == nil && len(a.origins) >= maxOrigins && now.Sub(a.tidied) >= auditWindow {
		a.tidyLocked(now)
	}
	if a.origins[from] == nil && len(a.origins) >= maxOrigins {
		from, lines = lineOrigin{others, from.trusted}, originLines(true)
	}
	o := a.origins[from]
	if o == nil {
		if a.origins == nil {
			a.origins = make(map[lineOrigin]*auditOrigin)
		}
		o = &auditOrigin{lines: lines}
		a.origins[from] = o
	}
	return o
}

// tidyLocked forgets origins that are as if they had caused nothing.
func (a *audit) tidyLocked(now time.Time) {
	a.tidied = now
	for from, o := range a.origins {
		if o.lines.Full(now) && len(o.dropped) == 0 {
			delete(a.origins, from)
		}
	}
	if len(a.origins) == 0 {
		a.origins = nil
	}
}

// countsLocked are lines for what there is none of: of those who caused most of it
// one by one, of the others together. It is counted anew then.
func (a *audit) countsLocked(now time.Time) []*auditLine {
	type count struct {
		from, what string
		n          int
	}
	var all []count
	for from, o := range a.origins {
		for what, n := range o.dropped {
			all = append(all, count{from.name, what, n})
		}
		o.dropped = nil
	}
	if len(all) == 0 {
		return nil
	}
	a.reported = now
	slices.SortFunc(all, func(x, y count) int {
		return cmp.Or(y.n-x.n, cmp.Compare(x.from, y.from), cmp.Compare(x.what, y.what))
	})
	rest := make(map[string]int)
	if len(all) > maxReports {
		for _, c := range all[maxReports:] {
			rest[c.what] += c.n
		}
		all = all[:maxReports]
	}
	for what, n := range rest {
		all = append(all, count{others, what, n})
	}
	var lines []*auditLine
	for _, c := range all {
		level, name := slog.LevelWarn, "9P warnings not logged"
		if c.what == attachLine {
			level, name = slog.LevelInfo, "9P attaches not logged"
		}
		attrs := []slog.Attr{slog.String("peer", c.from), slog.String("what", c.what), slog.Int("count", c.n)}
		lines = append(lines, &auditLine{now, level, name, attrs, 1})
	}
	return lines
}
