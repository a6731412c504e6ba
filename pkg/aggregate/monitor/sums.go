package monitor

import (
	"bytes"
	"cmp"
	"context"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/aggrfs/aggrfs/internal/cgroup"
	"github.com/aggrfs/aggrfs/internal/procfile"
	"github.com/aggrfs/aggrfs/pkg/aggregate/proctable"
	"github.com/aggrfs/aggrfs/pkg/aggregate/remarks"
	"github.com/aggrfs/aggrfs/pkg/aggregate/report"
	"github.com/aggrfs/aggrfs/pkg/aggregate/sampler"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// eachProcess calls f with each row of a node's sample that the viewer may be shown, in what a line
// of cluster/ps shows of it; file is what else must not be denied. It returns what is lacking.
func (v files) eachProcess(r *sampler.Reading, file string, f func(row proctable.Row)) (l remarks.Lack) {
	n, t := r.Node, r.Procs.Table
	all, denies := !v.Limited(), v.Scope().DeniesSome()
	hides := !n.Reads(v.Who) && proctable.HidesFrom(t.Facts(), v.Who, procfile.HideContent)
	for i := range t.Len() {
		row := t.Row(i)
		switch {
		case !all && !v.Sees(row.UID()):
		case hides && n.Visibility(row, v.Who) != proctable.Full:
			// The node's kernel would have to be asked; it shows nobody others' processes.
			if row.UID() == v.Who.UID {
				l.Unread++
				l.Why = cmp.Or(l.Why, errHidden)
			}
		case denies && v.deniesFile(row, file):
		case !r.Procs.Known(i):
			l.Note(n, row, t.FileIndex("stat"))
		default:
			f(row)
		}
	}
	return l
}

var errHidden error = hidden{}

// hidden is the error of a process of which it is not certain that its node shows it to its user.
type hidden struct{}

func (hidden) Error() string { return "the node's procfs hides processes (hidepid)" }

// deniesFile reports whether stat, or that file, does not exist of a process for the viewer.
func (v files) deniesFile(row proctable.Row, file string) bool {
	pid := strconv.Itoa(int(row.PID()))
	return v.Denies(pid, "stat") || file != "" && v.Denies(pid, file)
}

// note adds what the rows of a node lack to the remarks.
func (s *sampled) note(r *sampler.Reading, l remarks.Lack) {
	s.answer.Remarks = append(s.answer.Remarks, remarks.Of(s.v.View, r.Node, proctable.Roster{Table: r.Procs.Table}, l)...)
}

// A sum is one that is being made.
type sum struct {
	procs, nodes, threads int
	percent               float64
	rated                 bool // percent is known, of some at least
	time                  time.Duration
	rss                   int64
	last                  int // the node that was counted last
}

// add adds a process of the node with that number.
func (s *sum) add(node int, r *sampler.Reading, rates *sampler.Rates, i int) {
	if s.nodes == 0 || s.last != node {
		s.nodes, s.last = s.nodes+1, node
	}
	s.procs++
	s.threads += int(r.Procs.Threads(i))
	s.time += r.Procs.CPU(i)
	s.rss += r.Procs.RSS(i)
	if percent, ok := rates.Of(i); ok {
		s.percent, s.rated = s.percent+percent, true
	}
}

func (s *sum) report(name string) report.Sum {
	out := report.Sum{Name: name, Procs: s.procs, Nodes: s.nodes, Threads: s.threads, Time: new(s.time.Seconds()), RSS: new(s.rss)}
	if s.rated {
		out.CPU = new(s.percent)
	}
	return out
}

// sumsBy are the sums of the processes of a sample by what key says of each, which may be that it
// is in none. What key reads of a process beside its stat is file. Those that use most come first.
func sumsBy[K comparable](s *sampled, file string, key func(r *sampler.Reading, row proctable.Row) (K, bool)) (keys []K, sums map[K]*sum) {
	sums = make(map[K]*sum)
	for node := range s.readings {
		r := &s.readings[node]
		rates := r.Rates()
		l := s.v.eachProcess(r, file, func(row proctable.Row) {
			k, ok := key(r, row)
			if !ok {
				return
			}
			one := sums[k]
			if one == nil {
				one = new(sum)
				sums[k] = one
			}
			one.add(node, r, rates, row.I)
		})
		s.note(r, l)
	}
	keys = slices.Collect(maps.Keys(sums))
	slices.SortFunc(keys, func(a, b K) int {
		x, y := sums[a], sums[b]
		return cmp.Or(cmp.Compare(y.percent, x.percent), cmp.Compare(y.rss, x.rss), cmp.Compare(y.procs, x.procs))
	})
	return keys, sums
}

// A place is a key of sums, of up to three names.
type place [3]string

func userSums(ctx context.Context, v files, every time.Duration) content {
	s := v.sample(ctx, sampler.Want{Every: every, Processes: true})
	keys, sums := sumsBy(s, "", func(_ *sampler.Reading, row proctable.Row) (uint32, bool) { return row.UID(), true })
	t := &report.Table[report.UserSum]{Answer: s.answer}
	for _, uid := range keys {
		t.Rows = append(t.Rows, report.UserSum(sums[uid].report(v.f.Users.UserName(uid))))
	}
	return t
}

func commandSums(ctx context.Context, v files, every time.Duration) content {
	s := v.sample(ctx, sampler.Want{Every: every, Processes: true})
	names := make(map[string]string) // one string for each name
	keys, sums := sumsBy(s, "", func(r *sampler.Reading, row proctable.Row) (string, bool) {
		text, ok := commandName(row)
		if !ok {
			return "", false
		}
		name, ok := names[string(text)]
		if !ok {
			name = string(text)
			names[name] = name
		}
		return name, true
	})
	t := &report.Table[report.CommandSum]{Answer: s.answer}
	for _, name := range keys {
		t.Rows = append(t.Rows, report.CommandSum(sums[name].report(name)))
	}
	return t
}

// cgroups are those of the processes of a sample.
type cgroups struct {
	tables map[*proctable.Node]*proctable.Table
	places map[string]*cgroup.Place // by the text of the file
}

// cgroups reads them; nodes whose are not known are in the remarks.
func (s *sampled) cgroups(ctx context.Context) cgroups {
	type answer struct {
		t   *proctable.Table
		err error
	}
	c := cgroups{make(map[*proctable.Node]*proctable.Table), make(map[string]*cgroup.Place)}
	nodes := make([]*proctable.Node, len(s.readings))
	for i := range s.readings {
		nodes[i] = s.readings[i].Node
	}
	for i, got := range proctable.Each(ctx, nodes, func(ctx context.Context, n *proctable.Node) (a answer) {
		a.t, a.err = n.Cgroups(ctx)
		return a
	}) {
		if got.err != nil {
			s.answer.Remarks = append(s.answer.Remarks, report.Remark{Kind: report.Missing, Node: string(nodes[i].Name), Reason: nodes[i].Reason(got.err)})
			continue
		}
		c.tables[nodes[i]] = got.t
	}
	return c
}

// know reports whether those of a node are known.
func (c cgroups) know(n *proctable.Node) bool { return c.tables[n] != nil }

// of is where a process is; nil is not known, or that it has ended meanwhile.
func (c cgroups) of(n *proctable.Node, row proctable.Row) *cgroup.Place {
	t := c.tables[n]
	if t == nil {
		return nil
	}
	own, ok := t.Lookup(row.PID())
	if !ok || own.ID() != row.ID() {
		return nil
	}
	text, errno := t.File(own.I, 0)
	if errno != 0 {
		return nil
	}
	p := c.places[string(text)]
	if p == nil {
		p = new(cgroup.Parse(text))
		c.places[string(text)] = p
	}
	return p
}

// commandName is the name in a process's stat.
func commandName(row proctable.Row) ([]byte, bool) {
	stat, errno := row.Table.File(row.I, row.Table.FileIndex("stat"))
	open, end := bytes.IndexByte(stat, '('), bytes.LastIndexByte(stat, ')')
	if errno != 0 || open < 0 || end < open {
		return nil, false
	}
	return stat[open+1 : end], true
}

// cgroupSums are sums by something that a process's cgroup says.
func cgroupSums(ctx context.Context, v files, every time.Duration, of func(row proctable.Row, p *cgroup.Place) (place, bool)) (s *sampled, keys []place, sums map[place]*sum) {
	s = v.sample(ctx, sampler.Want{Every: every, Processes: true})
	cgroups := s.cgroups(ctx)
	s.readings = slices.DeleteFunc(s.readings, func(r sampler.Reading) bool { return !cgroups.know(r.Node) })
	keys, sums = sumsBy(s, "cgroup", func(r *sampler.Reading, row proctable.Row) (place, bool) {
		p := cgroups.of(r.Node, row)
		if p == nil {
			return place{}, false
		}
		return of(row, p)
	})
	return s, keys, sums
}

func jobSums(ctx context.Context, v files, every time.Duration) content {
	users := make(map[uint32]string)
	s, keys, sums := cgroupSums(ctx, v, every, func(row proctable.Row, p *cgroup.Place) (place, bool) {
		user, ok := users[row.UID()]
		if !ok {
			user = v.f.Users.UserName(row.UID())
			users[row.UID()] = user
		}
		return place{p.Job, user}, p.Job != ""
	})
	t := &report.Table[report.JobSum]{Answer: s.answer}
	for _, k := range keys {
		one := sums[k].report("")
		t.Rows = append(t.Rows, report.JobSum{Job: k[0], User: k[1], Procs: one.Procs, Nodes: one.Nodes, Threads: one.Threads, CPU: one.CPU, Time: one.Time, RSS: one.RSS})
	}
	return t
}

func unitSums(ctx context.Context, v files, every time.Duration) content {
	s, keys, sums := cgroupSums(ctx, v, every, func(_ proctable.Row, p *cgroup.Place) (place, bool) {
		return place{p.Unit}, p.Unit != ""
	})
	t := &report.Table[report.UnitSum]{Answer: s.answer}
	for _, k := range keys {
		t.Rows = append(t.Rows, report.UnitSum(sums[k].report(k[0])))
	}
	return t
}

func containerSums(ctx context.Context, v files, every time.Duration) content {
	s, keys, sums := cgroupSums(ctx, v, every, func(_ proctable.Row, p *cgroup.Place) (place, bool) {
		return place{p.Container, p.Runtime, p.Pod}, p.Container != ""
	})
	t := &report.Table[report.ContainerSum]{Answer: s.answer}
	for _, k := range keys {
		one := sums[k].report("")
		t.Rows = append(t.Rows, report.ContainerSum{Container: k[0], Runtime: k[1], Pod: k[2], Procs: one.Procs, Nodes: one.Nodes, Threads: one.Threads, CPU: one.CPU, Time: one.Time, RSS: one.RSS})
	}
	return t
}

// allocations are those that the viewer may know of: all, or their own.
func allocations(_ context.Context, v files, _ time.Duration) content {
	t := &report.Table[report.Allocation]{Answer: report.Answer{At: v.f.Now()}}
	own := []string{strconv.FormatUint(uint64(v.Who.UID), 10), v.f.Users.UserName(v.Who.UID)}
	nobodys := v.Who.UID == vfs.OverflowID || v.Who.UID == vfs.NoID
	for _, a := range v.f.Access.Allocations() {
		if !v.SeesAll() && (nobodys || !slices.Contains(own, a.User)) || !a.End.IsZero() && !a.End.After(v.f.Now()) {
			continue
		}
		t.Rows = append(t.Rows, report.Allocation{User: a.User, Nodes: a.Nodes.String(), Count: a.Nodes.Len(), End: a.End})
	}
	return t
}
