package access

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"time"

	"github.com/aggrfs/aggrfs/internal/command"
	"github.com/aggrfs/aggrfs/internal/trusted"
	"github.com/aggrfs/aggrfs/internal/userdb"
)

// Follow reads the source again and again until ctx ends, puts what it says in force in
// a, and how that goes into [Authority.Source]. Each change of that is logged once.
func Follow(ctx context.Context, a *Authority, src Source, log *slog.Logger) {
	f := follower{a: a, src: src.withDefaults(), log: log, began: a.now()}
	a.setSource(&SourceState{})
	for {
		t, err := f.reading.of(ctx, f.src, a.names)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			f.have(ctx, t)
		} else {
			f.fail(err)
		}
		timer := time.NewTimer(f.src.Interval)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

// A follower is what is known of a source.
type follower struct {
	a       *Authority
	src     Source
	log     *slog.Logger
	reading reading
	began   time.Time

	known   bool  // table is in force; before that it is another source's
	table   Table // the last good one
	state   SourceState
	failed  string // the failure that was logged last; "" is none
	checked map[string]bool
}

// have takes a good table.
func (f *follower) have(ctx context.Context, t Table) {
	now := f.a.now()
	same := f.known && !f.state.Over && slices.EqualFunc(t.Allocations, f.table.Allocations, Allocation.equal)
	if !f.known || f.failed != "" {
		f.log.Info("allocations", "count", len(t.Allocations))
	}
	if t.Bad.Count > 0 && t.Bad != f.table.Bad {
		f.log.Warn("allocations: lines are passed over that are not understood", "count", t.Bad.Count, "first", t.Bad.First)
	}
	if !same {
		f.a.SetAllocations(t.Allocations)
	}
	before := f.state
	f.failed, f.table, f.known = "", t, true
	f.state = SourceState{Read: now, Count: len(t.Allocations), Waiting: t.Waiting, Bad: t.Bad, Unknown: before.Unknown}
	f.publish()
	if same {
		return
	}
	f.state.Unknown = f.unknown(ctx, t)
	if len(f.state.Unknown) > 0 && !slices.Equal(f.state.Unknown, before.Unknown) {
		f.log.Warn("allocations: the user database does not have", "users", f.state.Unknown)
	}
	f.publish()
}

// fail takes that there is no table.
func (f *follower) fail(err error) {
	now := f.a.now()
	if f.failed != err.Error() {
		f.failed = err.Error()
		f.log.Error("no allocations; the last ones stay for a while", "err", err, "while", f.src.MaxAge)
	}
	if f.state.Err == nil {
		f.state.Since = now
	}
	f.state.Err = err
	last := f.state.Read
	if last.IsZero() {
		last = f.began
	}
	if !f.state.Over && now.Sub(last) > f.src.MaxAge {
		f.state.Over = true
		f.a.SetAllocations(nil)
		f.log.Error("no allocations; nothing is allocated any more", "err", errors.New(f.failed))
	}
	f.publish()
}

// publish shows a copy of the state.
func (f *follower) publish() {
	s := f.state
	f.a.setSource(&s)
}

const (
	// maxUnknown is how many users are named whom the user database does not have.
	maxUnknown = 5
	// checkTime is how long may be asked for them after one look.
	checkTime = 5 * time.Second
)

// unknown are users of the table whom the user database does not have. Whom it cannot
// say anything of is none of them.
func (f *follower) unknown(ctx context.Context, t Table) (all []string) {
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	checked := map[string]bool{} // whether they exist
	more := 0
	for _, a := range t.Allocations {
		_, twice := checked[a.User]
		if _, number := userdb.Number(a.User); twice || number {
			continue
		}
		exists := f.checked[a.User]
		if !exists {
			_, err := f.a.names.User(ctx, a.User)
			if err != nil && !errors.Is(err, userdb.ErrUnknown) {
				continue
			}
			exists = err == nil
		}
		checked[a.User] = exists
		switch {
		case exists:
		case len(all) < maxUnknown:
			text := fmt.Sprintf("%s (line %d)", a.User, a.Line)
			if near := f.a.names.NearestUser(ctx, a.User); near != "" {
				text = fmt.Sprintf("%s (line %d; did you mean %s?)", a.User, a.Line, near)
			}
			all = append(all, text)
		default:
			more++
		}
	}
	f.checked = checked
	if more > 0 {
		all = append(all, fmt.Sprintf("%d more", more))
	}
	return all
}

// A reading is a look at a source that may not end: a file can be on a file server that
// does not answer, and read(2) of it cannot be ended.
type reading struct {
	done chan read // nil while none is under way
}

type read struct {
	table Table
	err   error
}

// grace is how long after its time a look is waited for.
const grace = 2 * time.Second

// of looks at the source, for no longer than its time and some more. While a look
// goes on there is no other; what comes of one that was too late is not looked at.
func (r *reading) of(ctx context.Context, src Source, names Names) (Table, error) {
	timer := time.NewTimer(src.Timeout + grace)
	defer timer.Stop()
	for late := r.done != nil; ; late = false {
		if r.done == nil {
			done := make(chan read, 1)
			r.done = done
			go func() {
				table, err := src.Read(ctx, names)
				done <- read{table, err}
			}()
		}
		select {
		case got := <-r.done:
			r.done = nil
			if !late {
				return got.table, got.err
			}
		case <-ctx.Done():
			return Table{}, ctx.Err()
		case <-timer.C:
			return Table{}, fmt.Errorf("%s: no answer after %v, and the look at it cannot be ended", src.name(), src.Timeout)
		}
	}
}

func (a Allocation) equal(b Allocation) bool {
	return a.User == b.User && a.End.Equal(b.End) && a.Nodes.Equal(b.Nodes)
}

// A Source is where allocations come from: a file or a command, not both.
type Source struct {
	File    string   // an absolute path; see package trusted for what it must be
	Command []string // see package command; prints the table
	// User is whom the command runs as, by name or number; "" is the user that this
	// program runs as, and "nobody" where that is root.
	User string

	Interval time.Duration // between two looks; 0 is a second for a file, 30 s for a command
	Timeout  time.Duration // for one look; 0 is 10 s
	// MaxAge is how long the last good table is used while no newer one can be
	// had; then nothing is allocated. 0 is 10 minutes.
	MaxAge time.Duration
}

func (s Source) withDefaults() Source {
	if s.Interval <= 0 {
		s.Interval = time.Second
		if len(s.Command) > 0 {
			s.Interval = 30 * time.Second
		}
	}
	if s.Timeout <= 0 {
		s.Timeout = 10 * time.Second
	}
	if s.MaxAge <= 0 {
		s.MaxAge = 10 * time.Minute
	}
	return s
}

// name is what the source is called in messages.
func (s Source) name() string {
	if len(s.Command) > 0 {
		return "what " + s.Command[0] + " printed"
	}
	return s.File
}

// Read gets the table once. It may take longer than the source's time: see
// [command.Run], and a file can be on a file server that does not answer.
func (s Source) Read(ctx context.Context, names Names) (Table, error) {
	s = s.withDefaults()
	if len(s.Command) == 0 {
		data, err := trusted.ReadFile(s.File, MaxAllocations)
		if err != nil {
			return Table{}, err
		}
		return ParseAllocations(s.name(), data, time.Local)
	}
	spec := command.Spec{Argv: s.Command, Env: environment(s.User), Timeout: s.Timeout, MaxOutput: MaxAllocations}
	if s.User != "" {
		who, err := names.Identity(ctx, s.User)
		if errors.Is(err, userdb.ErrUnknown) {
			return Table{}, fmt.Errorf("the command's user %s is not in the user database", s.User)
		}
		if err != nil {
			return Table{}, fmt.Errorf("the command's user %s: %w", s.User, err)
		}
		spec.User = &command.User{UID: who.UID, GID: who.GID, Groups: who.Groups}
	}
	out, err := command.Run(ctx, spec)
	if err != nil {
		return Table{}, err
	}
	t, err := ParseAllocations(s.name(), out.Stdout, time.Local)
	if err == nil && len(t.Allocations)+t.Waiting == 0 && out.Complaint != "" {
		// That nobody has anything is said by saying nothing, and by nothing else.
		err = &command.Error{Argv: s.Command, Brief: "it printed no allocation, and complained", Complaint: out.Complaint}
	}
	return t, err
}

// environment is the command's: none of the variables that change what squeue prints,
// and those that it needs to find its cluster, and to print times as this process
// reads them.
func environment(user string) []string {
	env := []string{"PATH=/usr/local/bin:/usr/bin:/bin", "LC_ALL=C", "HOME=/"}
	if user != "" {
		env = append(env, "USER="+user, "LOGNAME="+user)
	}
	for _, name := range []string{"TZ", "SLURM_CONF"} {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// A SourceState is how the source of allocations is.
type SourceState struct {
	// Read is when the table in force was had; zero is that there has been none yet.
	Read time.Time
	// Count, Waiting and Bad are what was in it.
	Count, Waiting int
	Bad            Mistakes
	// Unknown are users in it whom the user database does not have, whom nothing is
	// allocated to; each with its line and, where there is one, the nearest name.
	Unknown []string
	// Err is why there is no newer table, nil if the source is well, and Since since
	// when.
	Err   error
	Since time.Time
	// Over is that the last good table is too old: nothing is allocated any more.
	Over bool
}

// Well reports whether there is nothing to say of the source.
func (s *SourceState) Well() bool {
	return s.Err == nil && s.Bad.Count == 0 && len(s.Unknown) == 0 && !s.Read.IsZero()
}

// Brief says why there is no newer table, without anything that the source printed,
// which may be about others; "" if there is one.
func (s *SourceState) Brief() string {
	var run *command.Error
	var table *BadTable
	switch {
	case s.Err == nil:
		return ""
	case errors.As(s.Err, &run):
		return "command " + run.Brief
	case errors.As(s.Err, &table):
		return fmt.Sprintf("none of %d lines is understood", table.Bad.Count)
	}
	return "cannot be read"
}
