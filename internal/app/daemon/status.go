package daemon

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aggrfs/aggrfs/internal/app/mountserver"
	"github.com/aggrfs/aggrfs/internal/certs"
	"github.com/aggrfs/aggrfs/internal/config"
	"github.com/aggrfs/aggrfs/internal/userdb"
	"github.com/aggrfs/aggrfs/pkg/aggregate/report"
	"github.com/aggrfs/aggrfs/pkg/ninep"
	"github.com/aggrfs/aggrfs/pkg/nodeset"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// A self is what a daemon tells of itself in cluster/status, besides its tree.
type self struct {
	started  *config.Config
	keys     *ninep.TLS // nil is none
	mounts   *mountserver.Server
	users    *userdb.DB
	reloader *reloader
}

// parts implements clusterdir.Others.
func (s *self) parts(who vfs.Identity, everything bool) []report.Part {
	mounts := s.mountsPart(who, everything)
	if !everything {
		return []report.Part{mounts}
	}
	parts := []report.Part{s.restartPart(), mounts}
	if s.keys != nil {
		parts = append(parts, certificateParts(s.keys.State(), s.keys.Seen(), time.Now())...)
	}
	return append(parts, s.limitsPart())
}

// mountsPart is whose mounts are served.
func (s *self) mountsPart(who vfs.Identity, everything bool) report.Part {
	by, shared, total := make(map[uint32]int), 0, 0
	for _, m := range s.mounts.Served() {
		if !everything && m.UID != who.UID {
			continue
		}
		by[m.UID]++
		total++
		if m.AllUsers {
			shared++
		}
	}
	part := report.Part{Name: "mounts", State: report.OK, Detail: fmt.Sprint(total)}
	if !everything {
		part.Detail += " of yours"
		return part
	}
	uids := slices.SortedFunc(maps.Keys(by), func(a, b uint32) int { return cmp.Or(by[b]-by[a], cmp.Compare(a, b)) })
	var texts []string
	for _, uid := range uids[:min(len(uids), maxUsers)] {
		texts = append(texts, fmt.Sprintf("%s %d", report.UserText(s.users.UserName(uid), uid), by[uid]))
	}
	if more := len(uids) - maxUsers; more > 0 {
		texts = append(texts, fmt.Sprintf("%d more users", more))
	}
	if len(texts) > 0 {
		part.Detail += ": " + strings.Join(texts, ", ")
	}
	if shared > 0 {
		part.Detail += fmt.Sprintf("; %d of them for all users", shared)
	}
	return part
}

// maxUsers is how many users are named at most.
const maxUsers = 20

// restartPart is which changes of the configuration wait for a restart.
func (s *self) restartPart() report.Part {
	if keys := s.reloader.waiting.Load(); keys != nil && len(*keys) > 0 {
		return report.Part{Name: "restart", State: "waiting", Detail: fmt.Sprintf("%s: changed in the configuration, and as at the start until aggrfs is restarted (systemctl restart aggrfs)", strings.Join(*keys, ", "))}
	}
	return report.Part{Name: "restart", State: report.OK, Detail: "nothing waits for one"}
}

// limitsPart is whether there is what the nodes take.
func (s *self) limitsPart() report.Part {
	n, there := needsOf(s.started), available(s.started.Proc)
	part := report.Part{Name: "limits", State: report.OK, Detail: fmt.Sprintf("%d descriptors needed of %d", n.descriptors, there.descriptors)}
	// What is used already is not available any more, so that memory is looked at when starting.
	there.memory = 0
	if short := n.shortOf(there); len(short) > 0 {
		part.State, part.Detail = "short", strings.Join(short, "; ")
	}
	return part
}

// certificateParts are how the daemon's own certificate is, its CA, and the certificates that nodes
// showed.
func certificateParts(own certs.State, seen map[string]ninep.Span, now time.Time) []report.Part {
	life := certs.LifeOf(own.From, own.Until, now)
	part := report.Part{Name: "certificate", State: string(life), Detail: fmt.Sprintf("%s, of %s, %s", own.Files.Cert, own.Name, lifeText(life, own.From, own.Until))}
	if own.Broken != "" {
		part.State, part.Detail = "unusable", part.Detail+"; what the files hold now is not in force: "+own.Broken
	}
	parts := []report.Part{part}
	life = certs.LifeOf(time.Time{}, own.CAUntil, now)
	part = report.Part{Name: "ca", State: string(life), Detail: fmt.Sprintf("%s, until %s", own.Files.CA, own.CAUntil.UTC().Format(time.DateOnly))}
	if life != certs.Good {
		part.Detail += ": put a new CA beside it in this file on every machine, then renew all certificates"
	}
	parts = append(parts, part)
	by := make(map[certs.Life][]string)
	for name, span := range seen {
		l := certs.LifeOf(span.From, span.Until, now)
		by[l] = append(by[l], name)
	}
	for _, life := range []certs.Life{certs.Ended, certs.Early, certs.Ending, certs.Good} {
		if len(by[life]) == 0 {
			continue
		}
		first := slices.MinFunc(by[life], func(a, b string) int { return seen[a].Until.Compare(seen[b].Until) })
		parts = append(parts, report.Part{Name: "nodecerts", State: string(life), Detail: fmt.Sprintf("%s, the first %s", namesText(by[life]), lifeText(life, seen[first].From, seen[first].Until))})
	}
	return parts
}

// namesText are names of nodes as a nodeset, and otherwise as they are.
func namesText(names []string) string {
	slices.Sort(names)
	for _, name := range names {
		if set, err := nodeset.Parse(name); err != nil || set.Len() != 1 {
			return strings.Join(names, ",")
		}
	}
	return nodeset.Of(names...).String()
}

// lifeText says when a certificate ends, and what is to be done about it.
func lifeText(life certs.Life, from, until time.Time) string {
	end := until.UTC().Format(time.DateOnly)
	switch life {
	case certs.Ended:
		return "ended " + end + ": renew it, for others refuse it (aggrfs certs issue, or your CA)"
	case certs.Ending:
		return "ends " + end + ": renew it (aggrfs certs issue, or your CA)"
	case certs.Early:
		return "is good from " + from.UTC().Format(time.RFC3339) + " only: others refuse it until then; or a clock is wrong"
	}
	return "until " + end
}

// renewedInterval is how often servers are asked for certificates that are near their end, which may
// have been renewed: a connection goes on with the one that it began with.
const renewedInterval = 10 * time.Minute

// askForRenewed asks them until ctx ends, one after the other.
func askForRenewed(ctx context.Context, cfg *config.Config, keys *ninep.TLS) {
	if keys == nil {
		return
	}
	tick := time.NewTicker(renewedInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			askOnce(ctx, cfg, keys)
		}
	}
}

// askOnce connects to each server that showed such a certificate, which notes the one that it shows now.
func askOnce(ctx context.Context, cfg *config.Config, keys *ninep.TLS) {
	seen, asked := keys.Seen(), make(map[string]bool)
	for _, n := range cfg.Nodes {
		addr, err := ninep.ParseAddr(n.Address)
		if err != nil || addr.Network != "tls" {
			continue
		}
		name := n.Name
		if n.Behind {
			name = addr.Host()
		}
		span, known := seen[name]
		if !known || asked[name] || certs.LifeOf(span.From, span.Until, time.Now()) == certs.Good {
			continue
		}
		asked[name] = true
		dialing, cancel := context.WithTimeout(ctx, cfg.Timeouts.Connect)
		if conn, err := keys.Dial(dialing, addr, name); err == nil { // else cluster/nodes says why
			conn.Close()
		}
		cancel()
	}
}
