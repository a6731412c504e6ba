// Package command runs the commands that a configuration names: once, to their
// end, for what they print ([Run]), or for as long as they are spoken with ([Start]).
//
// # Model
//
// A command is a program by its absolute path and its arguments; there is no shell.
// [Run] starts it as the user of its [Spec], in a session of its own and in "/", with
// the environment of the Spec alone, nothing to read (or, by [Start], one socket to read and to
// write), and no other descriptor than its output. It has no capability, and nothing in it can get one: see
// [privs.DropThread], which asks the kernel whether that is so before the program is
// started.
//
// It takes three processes. This program starts itself (as /proc/self/exe, so that
// no file is looked for) as the supervisor, which starts itself again as the process
// that gives up its rights, becomes the user and then the command. Main must call
// [Stage] first thing for that.
//
// # What is left
//
// Nothing. The supervisor is the reaper of whatever the command starts
// (PR_SET_CHILD_SUBREAPER of prctl(2)), so that what leaves the command's session and
// outlives its parent becomes the supervisor's child and no other's. When the command
// ends, when its time is over, when it has printed too much, or when this process is
// gone, the supervisor kills its children until it has none. It has the command's
// effective user id for that (kill(2)), while its real and saved ones stay its own:
// the command can neither signal nor trace it. Where the command runs as the user of
// this program itself it can; a command that kills its own supervisor, on purpose,
// leaves what it started to init.
//
// # Failure
//
// What Start has started ends with its [Conn], which is closed, or with this process.
//
// Run returns only when nothing of the command is there any more. That is soon after
// the deadline, unless a process is in a wait that the kernel does not break off, as
// for a file server that is mounted hard: who must go on all the same calls Run on a
// goroutine that can be left alone, and not again before it has returned. The file of
// the program is touched by the last of the processes only, which can hang without
// holding up this one.
//
// An error is an [*Error], which says what happened with and without what the command
// complained of on its standard error.
package command

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aggrfs/aggrfs/internal/plaintext"
)

// A User is whom a command runs as.
type User struct {
	UID, GID uint32
	Groups   []uint32 // supplementary ones
}

// Nobody is whom a command runs as that has no user in a program that runs as root:
// the user who owns nothing.
var Nobody = User{UID: 65534, GID: 65534}

// A Spec is a command and how it is run.
type Spec struct {
	// Argv is the program, by an absolute path, and its arguments. The program must be
	// one that only root or this program's user can have written (package trusted).
	Argv []string
	// User is whom it runs as; nil is this program's own user, or Nobody where that is
	// root. Another one than this program's takes CAP_SETUID and CAP_SETGID.
	User *User
	// Env is its whole environment.
	Env []string
	// Timeout is how long it may run. It must not be 0. Start does not look at it.
	Timeout time.Duration
	// MaxOutput is how many bytes it may print. It must not be 0. Start does not look at it.
	MaxOutput int
}

// Output is what a command printed.
type Output struct {
	Stdout []byte
	// Complaint is the beginning of its standard error, on one line and escaped.
	Complaint string
}

// maxComplaint is how much of standard error is read, in bytes.
const maxComplaint = 1000

// order is what the supervisor and the last process are told.
type order struct {
	Argv []string
	Env  []string
	User User
}

// verdict is what the supervisor says when nothing is left.
type verdict struct {
	Failed string // why the program was not started; "" if it was
	Exit   int    // its status
	Signal int    // what killed it; 0 is nothing
	Killed bool   // the supervisor ended it
}

// Run runs a command that must end with status 0. It returns when nothing of the
// command is left, see the package comment; ctx ends it. It may be called
// concurrently.
func Run(ctx context.Context, s Spec) (Output, error) {
	fail := func(format string, args ...any) error {
		return &Error{Argv: s.Argv, Brief: fmt.Sprintf(format, args...)}
	}
	who := s.who()
	if err := mayBecome(who); err != nil {
		return Output{}, fail("%v", err)
	}
	ctx, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	sup, err := startSupervisor(order{s.Argv, s.Env, who}, nil)
	if err != nil {
		return Output{}, fail("its supervisor cannot be started: %v", err)
	}
	tooMuch := make(chan struct{})
	out, errOut := &Limited{Max: s.MaxOutput, Over: func() { close(tooMuch) }}, &Limited{Max: maxComplaint}
	ended := make(chan error, 1)
	go func() { ended <- sup.wait(out, errOut) }()
	var stopped error
	select {
	case err = <-ended:
	case <-ctx.Done():
		stopped = fail("no end after %v", s.Timeout)
		if ctx.Err() != context.DeadlineExceeded {
			stopped = fail("%v", ctx.Err())
		}
	case <-tooMuch:
		stopped = fail("it prints more than %d bytes", s.MaxOutput)
	}
	sup.stop()
	if stopped != nil {
		err = <-ended
	}
	got := Output{out.Bytes(), complaint(errOut.String())}
	if out.IsOver() { // and then it ended
		stopped = fail("it prints more than %d bytes", s.MaxOutput)
	}
	if brief := sup.brief(err); stopped != nil {
		err = stopped
	} else if err = nil; brief != "" {
		err = fail("%s", brief)
	}
	var e *Error
	if errors.As(err, &e) {
		e.Complaint = got.Complaint
		return Output{}, e
	}
	return got, nil
}

// who is whom the command runs as.
func (s Spec) who() User {
	switch {
	case s.User != nil:
		return *s.User
	case os.Geteuid() == 0:
		return Nobody
	}
	return own()
}

// own is this process's user.
func own() User {
	u := User{UID: uint32(os.Geteuid()), GID: uint32(os.Getegid())}
	groups, _ := os.Getgroups() // fails for no reason that is known
	for _, g := range groups {
		u.Groups = append(u.Groups, uint32(g))
	}
	return u
}

// isOwn reports whether who is this process's user, for whom nothing need be
// changed. Which groups that one should have is not looked at if they cannot be
// changed.
func isOwn(who User) bool {
	mine := own()
	return who.UID == mine.UID && who.GID == mine.GID && (slices.Equal(who.Groups, mine.Groups) || !hasCap(unix.CAP_SETGID))
}

// mayBecome says early and plainly what could only fail later.
func mayBecome(who User) error {
	switch {
	case isOwn(who):
		return nil
	case who.UID == 0:
		return fmt.Errorf("it may not run as root where aggrfs runs as uid %d", os.Geteuid())
	case !hasCap(unix.CAP_SETUID) || !hasCap(unix.CAP_SETGID):
		return fmt.Errorf("aggrfs runs as uid %d and may not become uid %d for it: give it CAP_SETUID and CAP_SETGID, or name no user", os.Geteuid(), who.UID)
	}
	return nil
}

// hasCap reports whether this thread has a capability in effect.
func hasCap(number int) bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return false
	}
	return data[number/32].Effective>>(number%32)&1 == 1
}

// A supervisor is the process that runs a command.
type supervisor struct {
	cmd         *exec.Cmd
	hold        *os.File // closed to end it
	report      *os.File // where its verdict comes from
	out, errOut *os.File // where the command prints
	verdict     verdict  // set when wait has returned
}

// startSupervisor starts one that is told o. Where talk is not nil it is what the command reads
// and prints to, and of what it prints wait gets only its complaints.
func startSupervisor(o order, talk *os.File) (*supervisor, error) {
	text, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	var pipes [4][2]*os.File
	closeAll := func(end int) {
		for _, p := range pipes {
			if p[end] != nil {
				p[end].Close()
			}
		}
	}
	for i := range pipes {
		if pipes[i][0], pipes[i][1], err = os.Pipe(); err != nil {
			closeAll(0)
			closeAll(1)
			return nil, err
		}
	}
	// The end that this process keeps of the first is the one that is written to.
	pipes[0][0], pipes[0][1] = pipes[0][1], pipes[0][0]
	s := &supervisor{hold: pipes[0][0], report: pipes[1][0], out: pipes[2][0], errOut: pipes[3][0]}
	s.cmd = &exec.Cmd{
		Path: "/proc/self/exe", Args: []string{supervisorName}, Dir: "/", Env: []string{},
		Stdout: pipes[2][1], Stderr: pipes[3][1], ExtraFiles: []*os.File{pipes[0][1], pipes[1][1]},
		SysProcAttr: &syscall.SysProcAttr{Setsid: true},
	}
	if talk != nil {
		s.cmd.Stdin, s.cmd.Stdout = talk, talk
	}
	if os.Geteuid() != 0 && !isOwn(o.User) {
		// They would be lost by the execve of a process that is not root's.
		s.cmd.SysProcAttr.AmbientCaps = []uintptr{unix.CAP_SETUID, unix.CAP_SETGID}
	}
	err = s.cmd.Start()
	closeAll(1)
	if err != nil {
		closeAll(0)
		return nil, err
	}
	go func() {
		// One that ends without reading all is found out by wait.
		_, _ = s.hold.Write(append(text, '\n'))
	}()
	return s, nil
}

// brief is what became of the command, when wait has returned with that error; "" is that it has
// ended well.
func (s *supervisor) brief(waited error) string {
	switch v := s.verdict; {
	case waited != nil:
		return fmt.Sprintf("its supervisor ended unasked, and what it started may be left: %v", waited)
	case v.Failed != "":
		return v.Failed
	case v.Signal != 0:
		return "killed by " + unix.SignalName(syscall.Signal(v.Signal))
	case v.Exit != 0:
		return fmt.Sprintf("exited %d", v.Exit)
	}
	return ""
}

// stop has it end the command. It may be called more than once.
func (s *supervisor) stop() { s.hold.Close() }

// wait takes what the command prints until all of it has ended.
func (s *supervisor) wait(out, errOut *Limited) error {
	defer s.stop()
	copied := make(chan struct{}, 2)
	for from, to := range map[*os.File]*Limited{s.out: out, s.errOut: errOut} {
		go func() {
			_, _ = io.Copy(to, from) // it ends when nobody can write there any more
			copied <- struct{}{}
		}()
	}
	decodeErr := json.NewDecoder(s.report).Decode(&s.verdict)
	s.report.Close()
	err := s.cmd.Wait()
	if decodeErr == nil {
		err = nil
	} else if err == nil {
		err = decodeErr
	}
	if err != nil {
		// Its children may hold the pipes for ever.
		s.out.Close()
		s.errOut.Close()
	}
	<-copied
	<-copied
	s.out.Close()
	s.errOut.Close()
	return err
}

// Limited is an io.Writer that keeps the first Max bytes and takes the rest, too. It is
// for one writer at a time; IsOver may be called concurrently.
type Limited struct {
	Max  int
	Over func() // called when there is more, once; nil for nothing

	b    bytes.Buffer // not embedded: its ReadFrom knows no limit
	over atomic.Bool
}

// Write implements io.Writer.
func (l *Limited) Write(p []byte) (int, error) {
	room := l.Max - l.b.Len()
	l.b.Write(p[:min(room, len(p))])
	if room < len(p) && !l.over.Swap(true) && l.Over != nil {
		l.Over()
	}
	return len(p), nil
}

// IsOver reports whether more was written than is kept.
func (l *Limited) IsOver() bool { return l.over.Load() }

// Bytes is what was kept.
func (l *Limited) Bytes() []byte { return l.b.Bytes() }

// String is Bytes as a text.
func (l *Limited) String() string { return l.b.String() }

// An Error is why a command gave nothing.
type Error struct {
	// Argv is the command.
	Argv []string
	// Brief is what happened: "exited 1", "no end after 10s". It has nothing of what
	// the command printed.
	Brief string
	// Complaint is the beginning of what the command wrote to its standard error, on
	// one line and escaped; "" is nothing.
	Complaint string
}

// Error names the command, what happened, and its complaint.
func (e *Error) Error() string {
	text := fmt.Sprintf("command %s: %s", plaintext.Escape(strings.Join(e.Argv, " ")), e.Brief)
	if e.Complaint != "" {
		text += ": " + e.Complaint
	}
	return text
}

// complaint makes one line of what was written to standard error.
func complaint(text string) string {
	return plaintext.Escape(strings.Join(strings.Fields(text), " "))
}
