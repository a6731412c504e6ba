package access

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/aggrfs/aggrfs/internal/trusted"
)

// A Source is where allocations come from: a file or a command, not both.
type Source struct {
	File    string   // an absolute path; see package trusted for what it must be
	Command []string // run without a shell; prints the table

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

// killGrace is how long a command that was ended may hold its output open.
const killGrace = time.Second

// Read gets the table once.
func (s Source) Read(ctx context.Context) ([]Allocation, error) {
	s = s.withDefaults()
	if len(s.Command) == 0 {
		data, err := trusted.ReadFile(s.File, MaxAllocations)
		if err != nil {
			return nil, err
		}
		return ParseAllocations(s.File, data, time.Local)
	}
	if err := trusted.CheckProgram(s.Command[0]); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.Command[0], s.Command[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = killGrace
	out, complaint := &limited{max: MaxAllocations}, &limited{max: 4096}
	cmd.Stdout, cmd.Stderr = out, complaint
	err := cmd.Run()
	name := strings.Join(s.Command, " ")
	switch {
	case ctx.Err() == context.DeadlineExceeded:
		return nil, fmt.Errorf("%s: no end after %v", name, s.Timeout)
	case err != nil:
		return nil, fmt.Errorf("%s: %w: %s", name, err, strings.TrimSpace(complaint.String()))
	case out.over:
		return nil, fmt.Errorf("%s: more than %d bytes", name, MaxAllocations)
	}
	return ParseAllocations(name, out.Bytes(), time.Local)
}

// limited keeps the first max bytes written.
type limited struct {
	bytes.Buffer
	max  int
	over bool
}

func (l *limited) Write(p []byte) (int, error) {
	if room := l.max - l.Len(); len(p) > room {
		l.over = true
		l.Buffer.Write(p[:max(0, room)])
		return len(p), nil
	}
	return l.Buffer.Write(p)
}

// Follow keeps a's allocations those of the source until ctx ends. Each change
// of fortune is logged once.
func Follow(ctx context.Context, a *Authority, src Source, log *slog.Logger) {
	src = src.withDefaults()
	var have []Allocation
	known := false  // have is what is in force; before that it is another source's
	last := a.now() // when there was a good table last, or the source began
	failed := ""
	var reading reading
	for {
		all, err := reading.of(ctx, src)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			if failed != "" || !known {
				log.Info("allocations", "count", len(all))
			}
			failed, last = "", a.now()
			if !known || !slices.EqualFunc(all, have, Allocation.equal) {
				have, known = all, true
				a.SetAllocations(all)
			}
		default:
			if failed != err.Error() {
				failed = err.Error()
				log.Error("no allocations; the last ones stay for a while", "err", err, "while", src.MaxAge)
			}
			if (!known || have != nil) && a.now().Sub(last) > src.MaxAge {
				have, known = nil, true
				a.SetAllocations(nil)
				log.Error("no allocations; nothing is allocated any more", "err", errors.New(failed))
			}
		}
		timer := time.NewTimer(src.Interval)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

// A reading is a look at a source that may not end: a file can be on a file server that
// does not answer, and read(2) of it cannot be ended.
type reading struct {
	done chan read // nil while none is under way
}

type read struct {
	all []Allocation
	err error
}

// of looks at the source, for no longer than its time and some more. While a look
// goes on there is no other; what comes of one that was too late is not looked at.
func (r *reading) of(ctx context.Context, src Source) ([]Allocation, error) {
	timer := time.NewTimer(src.Timeout + 2*killGrace)
	defer timer.Stop()
	for late := r.done != nil; ; late = false {
		if r.done == nil {
			done := make(chan read, 1)
			r.done = done
			go func() {
				all, err := src.Read(ctx)
				done <- read{all, err}
			}()
		}
		select {
		case got := <-r.done:
			r.done = nil
			if !late {
				return got.all, got.err
			}
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-timer.C:
			return nil, fmt.Errorf("%s%s: no answer after %v", src.File, strings.Join(src.Command, " "), src.Timeout)
		}
	}
}

func (a Allocation) equal(b Allocation) bool {
	return a.User == b.User && a.End.Equal(b.End) && a.Nodes.Equal(b.Nodes)
}
