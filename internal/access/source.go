package access

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/aggrfs/aggrfs/internal/command"
	"github.com/aggrfs/aggrfs/internal/trusted"
	"github.com/aggrfs/aggrfs/internal/userdb"
)

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
