package monitor

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aggrfs/aggrfs/internal/procfile"
	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/proctable"
	"github.com/aggrfs/aggrfs/pkg/aggregate/report"
	"github.com/aggrfs/aggrfs/pkg/aggregate/sampler"
	"github.com/aggrfs/aggrfs/pkg/snapshot"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// maxCommand is how much of a process's arguments is shown, in bytes.
const maxCommand = 4096

// topRows is how many processes cluster/top shows at most.
const topRows = 1000

// A use is a process and what it uses.
type use struct {
	r       *sampler.Reading
	row     proctable.Row
	percent *float64 // nil is not known
	time    time.Duration
}

// uses are the processes of a sample that have used a processor: in its interval, or, where there
// is none yet, since their start.
func (s *sampled) uses() (all []use) {
	for i := range s.readings {
		r := &s.readings[i]
		used := r.Rates()
		l := s.v.eachProcess(r, "", func(row proctable.Row) {
			u := use{r: r, row: row, time: r.Procs.CPU(row.I)}
			if percent, ok := used.Of(row.I); ok {
				u.percent = &percent
			}
			if u.percent != nil && *u.percent > 0 || u.percent == nil && u.time > 0 {
				all = append(all, u)
			}
		})
		s.note(r, l)
	}
	return all
}

func (u *use) compare(o *use) int {
	a, b := -1.0, -1.0
	if u.percent != nil {
		a = *u.percent
	}
	if o.percent != nil {
		b = *o.percent
	}
	return cmp.Or(cmp.Compare(b, a), cmp.Compare(o.time, u.time))
}

func top(ctx context.Context, v files, every time.Duration) content {
	s := v.sample(ctx, sampler.Want{Every: every, Processes: true})
	all := s.uses()
	slices.SortStableFunc(all, func(a, b use) int { return a.compare(&b) })
	t := &report.Table[report.Top]{Answer: s.answer}
	memory := make(map[*sampler.Reading]*int64)
	for i := range all {
		u := &all[i]
		if len(t.Rows) == topRows {
			break
		}
		g := u.r.Node.GPID(u.row.PID())
		if g == 0 {
			continue
		}
		total, ok := memory[u.r]
		if !ok {
			total = newFigures(v, u.r).of(snapshot.MemoryFigures, "meminfo").number("total")
			memory[u.r] = total
		}
		t.Rows = append(t.Rows, u.report(v, g, total))
	}
	return t
}

// report is the row of a process in cluster/top; memory is that of its node in KiB.
func (u *use) report(v files, g gpid.GPID, memory *int64) report.Top {
	rss := u.r.Procs.RSS(u.row.I)
	row := report.Top{
		Node: string(u.r.Node.Name), PID: u.row.PID(), GPID: g, User: v.f.Users.UserName(u.row.UID()), CPU: u.percent,
		RSS: &rss, Threads: new(u.r.Procs.Threads(u.row.I)), Time: new(u.time.Seconds()), Command: commandOf(v, u.row),
	}
	if memory != nil && *memory > 0 {
		row.Mem = new(float64(rss) / float64(*memory) * 100)
	}
	return row
}

// rowCommand is what a process of a table was started as, or its name in brackets.
func commandOf(v files, row proctable.Row) string {
	if !v.Denies(strconv.Itoa(int(row.PID())), "cmdline") {
		args, _ := row.Table.File(row.I, row.Table.FileIndex("cmdline"))
		if text := strings.TrimRight(string(args[:min(len(args), maxCommand)]), "\x00"); text != "" {
			return strings.ReplaceAll(text, "\x00", " ")
		}
	}
	stat, _ := row.Table.File(row.I, row.Table.FileIndex("stat"))
	if s, ok := procfile.ParseStat(nil, stat); ok {
		return "[" + string(s.Name) + "]"
	}
	return ""
}

// rates is the table of what each process uses, for commands.
func rates(v files, id uint64, every time.Duration) vfs.Node {
	return v.f.Base.File(id, func(ctx context.Context) ([]byte, error) {
		s := v.sample(ctx, sampler.Want{Every: every, Processes: true})
		b := []byte(report.RatesHeader)
		for _, u := range s.uses() {
			if g := u.r.Node.GPID(u.row.PID()); g != 0 && u.percent != nil {
				b = strconv.AppendInt(b, int64(g), 10)
				b = strconv.AppendFloat(append(b, ' '), *u.percent, 'f', 2, 64)
				b = append(b, '\n')
			}
		}
		t := report.Table[report.Rate]{Answer: s.answer}
		_, remarks, _ := strings.Cut(string(t.Text()), "\n")
		return append(b, remarks...), nil
	})
}
