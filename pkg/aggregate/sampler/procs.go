package sampler

import (
	"cmp"
	"slices"
	"time"

	"github.com/aggrfs/aggrfs/internal/procfile"
	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/proctable"
)

// Procs are the processes of a node at one moment: its table, what is told of each by number, and
// what that was in the samples before. They never change.
type Procs struct {
	Table *proctable.Table
	At    time.Time // when the sweep began, or before, by the front end's clock

	telling bool    // the leaf tells its clock, and figures
	cpu     []int64 // of each row: processor time in the node's ticks; -1 is not known
	rss     []uint32
	threads []uint32
	past    []past // the oldest first
}

// A past is a sample before: what was then otherwise than in the sample after it.
type past struct {
	monotonic int64
	whole     bool // no process was lacking
	changed   []earlier
}

// An earlier is the processor time that a process had, -1 if it was not there.
type earlier struct {
	pid  int32
	leaf uint64 // tells the process from others of its pid
	cpu  int64
}

// next is the sample after p, which may be nil: of another table of the same node.
func (p *Procs) next(t *proctable.Table) *Procs {
	facts := t.Facts()
	if p != nil && (facts.Monotonic == p.Table.Facts().Monotonic || p.Table == t) && facts.Monotonic != 0 {
		same := *p // a front end below has answered with what it had
		same.At = t.Moment()
		return &same
	}
	if p != nil && (p.Table.Clock != t.Clock || facts.Monotonic <= p.Table.Facts().Monotonic) {
		p = nil // another boot
	}
	many := t.Len()
	q := &Procs{
		Table: t, At: t.Moment(), telling: facts.Monotonic != 0,
		cpu: make([]int64, many), rss: make([]uint32, many), threads: make([]uint32, many),
	}
	stat := t.FileIndex("stat")
	var buf []byte
	if p == nil {
		for i := range many {
			buf = q.read(i, stat, buf)
		}
		return q
	}
	q.past = append(q.past, p.past[max(0, len(p.past)-(ringLength-2)):]...)
	before := past{monotonic: p.Table.Facts().Monotonic, whole: p.whole()}
	old := p.Table
	follows := old.Session() == t.Session() && t.Since(old.Generation()) && slices.Equal(old.Files(), t.Files())
	at := 0 // in old
	for i := range many {
		pid := t.PID(i)
		for at < old.Len() && old.PID(at) < pid {
			at++
		}
		was := at < old.Len() && old.PID(at) == pid
		if was && follows && !t.Changed(i, old.Generation()) {
			q.cpu[i], q.rss[i], q.threads[i] = p.cpu[at], p.rss[at], p.threads[at]
			continue
		}
		buf = q.read(i, stat, buf)
		e := earlier{pid, t.ID(i), -1}
		if was && old.ID(at) == e.leaf {
			e.cpu = p.cpu[at]
		}
		if e.cpu != q.cpu[i] || e.cpu < 0 {
			before.changed = append(before.changed, e)
		}
	}
	before.changed = slices.Clip(before.changed)
	q.past = append(q.past, before)
	return q
}

// whole reports whether no process of the node is lacking in the table.
func (p *Procs) whole() bool { return p.Table.Skipped() == 0 && p.Table.Facts().Lacks == 0 }

// read reads the numbers of row i.
func (p *Procs) read(i, stat int, buf []byte) []byte {
	p.cpu[i] = -1
	if stat < 0 {
		return buf
	}
	buf, errno := p.Table.AppendFile(buf[:0], i, stat)
	if errno != 0 {
		return buf
	}
	if s, ok := procfile.ParseStat(nil, buf); ok {
		p.cpu[i], p.rss[i], p.threads[i] = s.CPU, uint32(min(s.RSS, 1<<32-1)), uint32(min(s.Threads, 1<<32-1))
	}
	return buf
}

// Known reports whether the stat file of row i could be read.
func (p *Procs) Known(i int) bool { return p.cpu[i] >= 0 }

// CPU is the processor time of row i since its start.
func (p *Procs) CPU(i int) time.Duration {
	hz := p.Table.Clock.Hz()
	n := max(p.cpu[i], 0)
	return time.Duration(n/hz)*time.Second + time.Duration(n%hz)*time.Second/time.Duration(hz)
}

// RSS is the resident memory of row i in KiB.
func (p *Procs) RSS(i int) int64 { return int64(p.rss[i]) * int64(p.Table.Facts().PageSize>>10) }

// Threads is how many threads row i has.
func (p *Procs) Threads(i int) int64 { return int64(p.threads[i]) }

// Size is about how much memory the sample takes beside the node's table, in bytes.
func (p *Procs) Size() int {
	n := 8*cap(p.cpu) + 4*cap(p.rss) + 4*cap(p.threads)
	for _, b := range p.past {
		n += 24*cap(b.changed) + 48
	}
	return n
}

// Rates are how much processor time the processes have used since an earlier sample.
type Rates struct {
	Over  time.Duration // by the node's clock; 0 is that there is no earlier sample
	p     *Procs
	whole bool
	then  []earlier // by pid
}

// Rates are those over about that time: since the newest sample that is three quarters of it older,
// or else the oldest.
func (p *Procs) Rates(every time.Duration) *Rates {
	r := &Rates{p: p}
	now, from := p.Table.Facts().Monotonic, len(p.past)-1
	if now == 0 || from < 0 {
		return r
	}
	for from > 0 && time.Duration(now-p.past[from].monotonic) < every*3/4 {
		from--
	}
	r.Over, r.whole = time.Duration(now-p.past[from].monotonic), p.past[from].whole
	if r.then = p.past[from].changed; from == len(p.past)-1 {
		return r
	}
	// What a process had first counts.
	of := make(map[int32]earlier)
	for i := len(p.past) - 1; i >= from; i-- {
		for _, e := range p.past[i].changed {
			of[e.pid] = e
		}
	}
	r.then = make([]earlier, 0, len(of))
	for _, e := range of {
		r.then = append(r.then, e)
	}
	slices.SortFunc(r.then, func(a, b earlier) int { return cmp.Compare(a.pid, b.pid) })
	return r
}

// Of is the share of one processor that row i has used, in percent; not ok if that is not known.
func (r *Rates) Of(i int) (percent float64, ok bool) {
	cpu := r.p.cpu[i]
	if r.Over <= 0 || cpu < 0 {
		return 0, false
	}
	k, changed := slices.BinarySearchFunc(r.then, r.p.Table.PID(i), func(e earlier, pid int32) int { return cmp.Compare(e.pid, pid) })
	if !changed {
		return 0, true
	}
	e := &r.then[k]
	used := cpu
	switch {
	case e.leaf == r.p.Table.ID(i) && e.cpu >= 0:
		used -= e.cpu
	case !r.whole: // it may have been there, and not in the table
		return 0, false
	}
	if used < 0 {
		return 0, false
	}
	return float64(used) / float64(r.p.Table.Clock.Hz()) / r.Over.Seconds() * 100, true
}

// Used tells how much processor time each row has used since another sample of the same node; nil is
// no sample, since which nothing is known. A process that was not there then has used all that it has,
// unless it may have been lacking from that sample.
func (p *Procs) Used(since *Procs) func(i int) time.Duration {
	nothing := func(int) time.Duration { return 0 }
	if since == nil || since.Table == p.Table {
		return nothing
	}
	old := since.Table
	if old.Clock != p.Table.Clock { // another boot: all of its processes are newer
		return p.CPU
	}
	if p.Table.Facts().Monotonic < old.Facts().Monotonic {
		return nothing
	}
	whole := since.whole()
	return func(i int) time.Duration {
		was, there := old.Lookup(gpid.PID(p.Table.PID(i)))
		switch {
		case !p.Known(i), !there && !whole:
			return 0
		case !there || was.ID() != p.Table.ID(i):
			return p.CPU(i)
		case !since.Known(was.I):
			return 0
		}
		return max(0, p.CPU(i)-since.CPU(was.I))
	}
}
