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

// getent asks getent(1).
func (d *DB) getent(ctx context.Context, q question) (answer, error) {
	if d.cfg.Getent == "" {
		return answer{}, errNoGetent
	}
	select {
	case d.slots <- struct{}{}:
		defer func() { <-d.slots }()
	case <-ctx.Done():
		return answer{}, fmt.Errorf("%d others are being asked for, and none was answered within %v", cap(d.slots), d.cfg.Timeout)
	}
	out, errOut := &bounded{max: maxOutput}, &bounded{max: maxError, cut: true}
	// The key cannot be taken for an option: see validName. There is no "--"
	// before it, as not every getent knows that.
	cmd := exec.CommandContext(ctx, d.cfg.Getent, databases[q.kind], q.key)
	cmd.Env, cmd.Dir = []string{"LC_ALL=C"}, "/"
	cmd.Stdout, cmd.Stderr = out, errOut
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) } // with all that it started
	cmd.WaitDelay = waitDelay
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return answer{}, fmt.Errorf("%s gave no answer within %v", d.cfg.Getent, d.cfg.Timeout)
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
