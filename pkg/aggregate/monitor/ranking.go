package monitor

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aggrfs/aggrfs/internal/plaintext"
	"github.com/aggrfs/aggrfs/pkg/aggregate/proctable"
)

const (
	// MaxNames is how many users, jobs or commands Measures have by name; all others together are
	// Other.
	MaxNames = 50
	// Other is the name of the rest, and of whoever is called so.
	Other = "other"
	// nameLinger is for how long a name without a process has its place still.
	nameLinger = 5 * time.Minute
	// maxName bounds a name, in bytes.
	maxName = 128
)

// NameMeasures are those of the processes of one user, job or command.
type NameMeasures struct {
	Name  string  // text without control characters, in valid UTF-8
	CPU   float64 // seconds of processor time seen since the name has its place; it never falls
	Procs int
	RSS   int64 // KiB
}

// A ranking is which names have a place of their own. A name keeps its place while it has processes;
// those that use most get the places that are free. The zero value has none.
type ranking struct {
	places map[string]*placed
	other  placed
}

type placed struct {
	cpu  time.Duration
	now  usage
	last time.Time // when it had a process
}

// A usage is what some processes have used since the last look, and what they have.
type usage struct {
	cpu   time.Duration
	procs int
	rss   int64
}

// uses are those by name.
type uses map[string]*usage

func (u uses) add(name string, cpu time.Duration, rss int64) {
	one := u[name]
	if one == nil {
		one = new(usage)
		u[name] = one
	}
	one.cpu, one.procs, one.rss = one.cpu+cpu, one.procs+1, one.rss+rss
}

// label is a name as a label's value.
func label(name string) string {
	name = strings.ToValidUTF8(plaintext.Escape(name), "�")
	return strings.ToValidUTF8(name[:min(len(name), maxName)], "")
}

// look takes note of what all have used.
func (r *ranking) look(now time.Time, u uses) {
	if r.places == nil {
		r.places = make(map[string]*placed)
	}
	for name, p := range r.places {
		if p.now = (usage{}); u[name] != nil {
			p.now, p.last = *u[name], now
			p.cpu += p.now.cpu
		} else if now.Sub(p.last) > nameLinger {
			delete(r.places, name)
		}
	}
	fresh := slices.SortedFunc(maps.Keys(u), func(a, b string) int {
		return cmp.Or(cmp.Compare(u[b].cpu, u[a].cpu), cmp.Compare(u[b].rss, u[a].rss), cmp.Compare(a, b))
	})
	r.other.now = usage{}
	for _, name := range fresh {
		switch one := u[name]; {
		case r.places[name] != nil:
		case name != Other && len(r.places) < MaxNames:
			r.places[name] = &placed{one.cpu, *one, now}
		default:
			r.other.cpu += one.cpu
			r.other.now.procs, r.other.now.rss = r.other.now.procs+one.procs, r.other.now.rss+one.rss
		}
	}
}

// measures are what there is, Other last.
func (r *ranking) measures() (all []NameMeasures) {
	for _, name := range slices.Sorted(maps.Keys(r.places)) {
		all = append(all, r.places[name].measures(name))
	}
	return append(all, r.other.measures(Other))
}

func (p *placed) measures(name string) NameMeasures {
	return NameMeasures{Name: name, CPU: p.cpu.Seconds(), Procs: p.now.procs, RSS: p.now.rss}
}

// lookAtProcesses takes note of what processes have used since the last look.
func (t *Meter) lookAtProcesses(ctx context.Context, s *sampled) {
	users, jobs, commands := make(uses), make(uses), make(uses)
	names := make(map[uint32]string)
	cgroups := s.cgroups(ctx)
	for i := range s.readings {
		r := &s.readings[i]
		if r.Procs == nil || r.Age > 0 {
			continue
		}
		used := r.Procs.Used(t.nodes[r.Node].procs)
		t.nodes[r.Node].procs = r.Procs
		_ = t.v.eachProcess(r, "", func(row proctable.Row) { // what cannot be read is in no sum
			cpu, rss := used(row.I), r.Procs.RSS(row.I)
			user, ok := names[row.UID()]
			if !ok {
				user = label(t.v.f.Users.UserName(row.UID()))
				names[row.UID()] = user
			}
			users.add(user, cpu, rss)
			if command, ok := commandName(row); ok {
				commands.add(label(string(command)), cpu, rss)
			}
			if p := cgroups.of(r.Node, row); p != nil && p.Job != "" {
				jobs.add(label(p.Job), cpu, rss)
			}
		})
	}
	t.users.look(t.v.f.Now(), users)
	t.jobs.look(t.v.f.Now(), jobs)
	t.commands.look(t.v.f.Now(), commands)
}
