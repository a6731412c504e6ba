package userdb

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

const (
	// maxOutput bounds what getent may answer, in bytes: a user in 65536 groups,
	// the kernel's limit, makes 11 each; a group has its members in its line.
	maxOutput = 1 << 20
	maxError  = 200                    // of its standard error
	waitDelay = 500 * time.Millisecond // for its output to close once it is dead
)

// errNoGetent says that os/user is all there is: there is no getent, or it does
// not know what groups a user is in (musl's does not).
var errNoGetent = errors.New("there is no getent")

// databases are getent's names of what is asked for.
var databases = map[kind]string{
	userByName: "passwd", userByID: "passwd", groupByName: "group", groupByID: "group", groupsOf: "initgroups",
}

// Exit statuses, see getent(1).
const (
	exitNoDatabase = 1
	exitNotFound   = 2
)

// getent asks getent(1) for one entry.
func (d *DB) getent(ctx context.Context, l *lane, q question) (answer, error) {
	// The key cannot be taken for an option: see validName. There is no "--"
	// before it, as not every getent knows that.
	out, errOut, err := d.run(ctx, l, databases[q.kind], q.key)
	var exit *exec.ExitError
	switch {
	case out == nil:
		return answer{}, err
	case out.over:
		return answer{}, fmt.Errorf("%s answered more than %d bytes", d.cfg.Getent, maxOutput)
	case errors.As(err, &exit) && exit.ExitCode() == exitNotFound:
		return answer{}, ErrUnknown
	case errors.As(err, &exit) && exit.ExitCode() == exitNoDatabase && q.kind == groupsOf:
		return answer{}, errNoGetent
	case err != nil:
		return answer{}, fmt.Errorf("%s: %w: %q", d.cfg.Getent, err, strings.TrimSpace(errOut.b.String()))
	}
	a, err := parse(q, out.b.String())
	if err != nil {
		err = fmt.Errorf("%s: %w", d.cfg.Getent, err)
	}
	return a, err
}

// run runs getent in a lane, unless it has been silent there lately. Without an output it
// has not answered. One that cannot be ended, since it is in a wait that the kernel does
// not break off, is left alone, in its place among those that may run at once.
func (d *DB) run(ctx context.Context, l *lane, args ...string) (out, errOut *bounded, err error) {
	if d.cfg.Getent == "" {
		return nil, nil, errNoGetent
	}
	if l.silence.lasts(d.cfg.Now()) {
		return nil, nil, errSilent
	}
	if err := d.turn(ctx, l); err != nil {
		return nil, nil, err
	}
	began := time.Now()
	// One that had little time, since its turn came late, says nothing of the service.
	note := func(missed bool) {
		if !missed || time.Since(began) >= d.cfg.Timeout/2 {
			l.silence.note(missed, d.cfg.Now(), d.cfg.FailedAge)
		}
	}
	out, errOut = &bounded{max: maxOutput}, &bounded{max: maxError, cut: true}
	cmd := exec.CommandContext(ctx, d.cfg.Getent, args...)
	cmd.Env, cmd.Dir = []string{"LC_ALL=C"}, "/"
	cmd.Stdout, cmd.Stderr = out, errOut
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) } // with all that it started
	cmd.WaitDelay = waitDelay
	ended := make(chan error, 1)
	go func() {
		defer func() { <-l.slots }()
		ended <- cmd.Run()
	}()
	over := ctx.Done()
	var giveUp <-chan time.Time
	for {
		select {
		case err = <-ended:
			note(errors.Is(ctx.Err(), context.DeadlineExceeded))
			if ctx.Err() != nil {
				return nil, nil, d.noAnswer()
			}
			return out, errOut, err
		case <-over:
			over, giveUp = nil, time.After(2*waitDelay)
		case <-giveUp:
			note(true)
			return nil, nil, d.noAnswer()
		}
	}
}

// turn waits for a place among those that may run at once. That none comes says nothing
// of the name service. In a lane with a limit nobody waits for a while then.
func (d *DB) turn(ctx context.Context, l *lane) error {
	select {
	case l.slots <- struct{}{}:
		l.crowd.note(false, d.cfg.Now(), d.cfg.FailedAge)
		return nil
	default:
	}
	if l.most > 0 && l.crowd.lasts(d.cfg.Now()) {
		return ErrBusy
	}
	select {
	case l.slots <- struct{}{}:
		l.crowd.note(false, d.cfg.Now(), d.cfg.FailedAge)
		return nil
	case <-ctx.Done():
		l.crowd.note(errors.Is(ctx.Err(), context.DeadlineExceeded), d.cfg.Now(), d.cfg.FailedAge)
		return fmt.Errorf("%w: %d, and none was answered within %v", ErrBusy, cap(l.slots), d.cfg.Timeout)
	}
}

func (d *DB) noAnswer() error {
	return fmt.Errorf("%s gave no answer within %v", d.cfg.Getent, d.cfg.Timeout)
}

// bounded takes at most max bytes. More are an error, which ends the program
// that writes them, or are left out.
type bounded struct {
	b    bytes.Buffer // not embedded: its ReadFrom knows no bound
	max  int
	cut  bool
	over bool
}

// Write implements io.Writer.
func (b *bounded) Write(p []byte) (int, error) {
	room := b.max - b.b.Len()
	if len(p) <= room {
		return b.b.Write(p)
	}
	b.b.Write(p[:room])
	b.over = true
	if b.cut {
		return len(p), nil
	}
	return room, errors.New("too much")
}
