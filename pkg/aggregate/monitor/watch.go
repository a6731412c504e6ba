package monitor

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/aggrfs/aggrfs/internal/plaintext"
	"github.com/aggrfs/aggrfs/pkg/aggregate/proctable"
	"github.com/aggrfs/aggrfs/pkg/aggregate/report"
	"github.com/aggrfs/aggrfs/pkg/aggregate/sampler"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// WatchFile is the name of the stream of what happens. It is not listed: it never ends, and who
// reads all files of a tree would never come to its end either.
const WatchFile = "watch"

const (
	// watchBeat is how long a read waits for something to happen; then it gets a line that says that
	// nothing has: a read must end, and who reads learns that the stream is alive.
	watchBeat = 2 * time.Second
	// maxWaiting bounds the lines that wait for a reader, in bytes: more are dropped, and counted.
	maxWaiting = 1 << 20
	// watchPause is how long a reader may leave a stream unread. What it has seen is forgotten then: it
	// is in memory for this reader alone.
	watchPause = 10 * time.Second
)

// A watch is one open stream. What happens is the difference of what its reader has been shown of
// the samples, and of what there is now: nothing is done for it while nobody reads.
type watch struct {
	v      files
	every  time.Duration
	asJSON bool

	turn  *semaphore.Weighted // the lock on what follows
	off   int64               // of what is passed next
	text  []byte              // lines that wait
	lost  int                 // lines that were dropped
	begun bool
	idle  *time.Timer // forgets what the reader has seen
	nodes map[*proctable.Node]*watched
	// given are the allocations that the reader has been shown.
	given []report.Allocation
}

// watched is what the reader has seen of a node.
type watched struct {
	procs  *sampler.Procs // nil is nothing yet
	silent bool
}

func (v files) watchFile(id uint64, every time.Duration, asJSON bool) vfs.Node {
	return v.f.Base.Stream(id, func(ctx context.Context) (vfs.Handle, error) {
		w := &watch{v: v, every: every, asJSON: asJSON, turn: semaphore.NewWeighted(1)}
		w.idle = time.AfterFunc(watchPause, w.forget)
		return w, ctx.Err()
	})
}

// ReadAt implements vfs.Handle: it waits for something to happen, and returns fewer bytes than are asked
// for although there will be more. The stream is read on, and not again: any other offset is ESPIPE.
func (w *watch) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	if err := w.turn.Acquire(ctx, 1); err != nil {
		return 0, err
	}
	defer w.turn.Release(1)
	w.idle.Stop()
	defer w.idle.Reset(watchPause)
	if off != w.off {
		return 0, syscall.ESPIPE
	}
	beat, cancel := context.WithTimeout(ctx, watchBeat)
	defer cancel()
	for len(w.text) == 0 {
		w.look(ctx)
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		if len(w.text) > 0 {
			break
		}
		select {
		case <-time.After(w.v.f.Sampler.Every(w.every)):
		case <-beat.Done():
			if ctx.Err() == nil {
				w.add(event{Event: "none"})
			}
		}
	}
	n := copy(p, w.text)
	w.text = w.text[n:]
	if w.off += int64(n); len(w.text) == 0 {
		w.text = nil
	}
	return n, nil
}

// Stream implements vfs.Stream.
func (w *watch) Stream() {}

// Holds implements vfs.Holder: what may wait is counted from the beginning, since it comes when the
// nodes please.
func (w *watch) Holds() int64 { return maxWaiting }

// Forget implements vfs.Holder.
func (w *watch) Forget() { w.forget() }

// forget forgets what the reader has seen. It is told then that the stream begins anew.
func (w *watch) forget() {
	if w.turn.TryAcquire(1) { // else it is being read
		w.nodes, w.given, w.begun = nil, nil, false
		w.turn.Release(1)
	}
}

// Close implements vfs.Handle.
func (w *watch) Close() error {
	w.idle.Stop()
	return nil
}

// An event is a line of the stream.
type event struct {
	At      time.Time `json:"at"`
	Event   string    `json:"event"`
	Node    string    `json:"node,omitempty"`
	PID     int32     `json:"npid,omitempty"`
	GPID    int64     `json:"gpid,omitempty"`
	User    string    `json:"user,omitempty"`
	Text    string    `json:"text,omitempty"` // a command, a reason, or nodes
	Lost    int       `json:"lost,omitempty"`
	Every   string    `json:"every,omitempty"`
	Version int       `json:"version,omitempty"`
}

// add adds a line, or counts it as lost.
func (w *watch) add(e event) {
	if len(w.text) >= maxWaiting {
		w.lost++
		return
	}
	if e.At.IsZero() {
		e.At = w.v.f.Now()
	}
	e.At = e.At.UTC().Truncate(time.Millisecond)
	e.Text = plaintext.Escape(e.Text)
	if w.asJSON {
		line, err := json.Marshal(e)
		if err == nil {
			w.text = append(append(w.text, line...), '\n')
		}
		return
	}
	if e.Event == "none" || e.Every != "" || e.Lost > 0 {
		w.text = append(w.text, "# "...)
	}
	w.text = append(e.At.AppendFormat(w.text, time.RFC3339), ' ')
	w.text = append(w.text, e.Event...)
	for _, word := range []string{e.Node, number(e.PID), number(e.GPID), e.User} {
		if word != "" {
			w.text = append(append(w.text, ' '), plaintext.Cell(word)...)
		}
	}
	switch {
	case e.Lost > 0:
		w.text = fmt.Appendf(w.text, " %d", e.Lost)
	case e.Every != "":
		w.text = append(append(w.text, ' '), e.Every...)
	case e.Text != "":
		w.text = append(append(w.text, ' '), e.Text...)
	}
	w.text = append(w.text, '\n')
}

func number[N int32 | int64](n N) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprint(n)
}

// look adds what has happened since the last look.
func (w *watch) look(ctx context.Context) {
	v := w.v
	s := v.sample(ctx, sampler.Want{Every: w.every, Processes: true})
	if !w.begun {
		w.nodes = make(map[*proctable.Node]*watched)
		// What starts and ends between two samples is not seen, and the stream says so.
		w.add(event{Event: "sweeps", Every: w.every.String(), Version: 1})
	}
	silent := make(map[string]string)
	for _, r := range s.answer.Remarks {
		switch r.Kind {
		case report.Missing:
			silent[r.Node] = r.Reason
		case report.Stale:
			silent[r.Node] = "it has not answered in time"
		}
	}
	for _, n := range v.Nodes() {
		one := w.nodes[n]
		if one == nil {
			one = new(watched)
			w.nodes[n] = one
		}
		reason, is := silent[string(n.Name)]
		switch {
		case is && !one.silent:
			w.add(event{Event: "silent", Node: string(n.Name), Text: reason})
		case !is && one.silent:
			w.add(event{Event: "back", Node: string(n.Name)})
		}
		one.silent = is
	}
	for i := range s.readings {
		r := &s.readings[i]
		if one := w.nodes[r.Node]; one != nil && r.Age == 0 && one.procs != r.Procs {
			if one.procs != nil {
				w.compare(r, one.procs)
			}
			one.procs = r.Procs
		}
	}
	w.allocations(ctx)
	w.begun = true
	if w.lost > 0 && len(w.text) < maxWaiting {
		lost := w.lost
		w.lost = 0
		w.add(event{Event: "lost", Lost: lost})
	}
}

// compare adds which processes of a node have started and ended since an earlier sample.
func (w *watch) compare(r *sampler.Reading, before *sampler.Procs) {
	old, now := before.Table, r.Procs.Table
	if old == now {
		return
	}
	then := *r
	then.Procs = before
	w.without(&then, now, "end")
	w.without(r, old, "start")
}

// without adds an event for each process of a sample that another table does not have. It is shown
// by what the sample says of it.
func (w *watch) without(r *sampler.Reading, other *proctable.Table, what string) {
	v := w.v
	_ = v.eachProcess(r, "", func(row proctable.Row) {
		if o, ok := other.Lookup(row.PID()); ok && o.ID() == row.ID() {
			return
		}
		w.add(event{
			At: r.Procs.At, Event: what, Node: string(r.Node.Name), PID: int32(row.PID()), GPID: int64(r.Node.GPID(row.PID())),
			User: v.f.Users.UserName(row.UID()), Text: commandOf(v, row),
		})
	})
}

// allocations adds which have begun and ended.
func (w *watch) allocations(ctx context.Context) {
	t, ok := allocations(ctx, w.v, w.every).(*report.Table[report.Allocation])
	if !ok {
		return
	}
	tell := func(what string, all, other []report.Allocation) {
		for _, a := range all {
			if !slices.Contains(other, a) {
				w.add(event{Event: what, User: a.User, Text: a.Nodes})
			}
		}
	}
	if w.begun {
		tell("deallocated", w.given, t.Rows)
		tell("allocated", t.Rows, w.given)
	}
	w.given = t.Rows
}

// isWatch reports whether a name is the stream's, and in which form.
func isWatch(name string) (is, asJSON bool) {
	base, asJSON := strings.CutSuffix(name, jsonSuffix)
	return base == WatchFile, asJSON
}
