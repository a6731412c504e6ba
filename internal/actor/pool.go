package actor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/semaphore"
	"golang.org/x/sys/unix"

	"github.com/aggrfs/aggrfs/internal/control"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

const (
	// MaxPerUser is how many actors one user can have: more than one where those that were given
	// up have not ended.
	MaxPerUser = 4
	// maxActors is how many there are of all users. Where there are as many, that which has rested
	// the longest ends for a new one. Root has a place beside them: users who stop theirs do not keep
	// root from ending what they run.
	maxActors = 128
)

// A Pool has the template, and the actors that live.
type Pool struct {
	template *exec.Cmd
	socket   *net.UnixConn // the template's
	reader   sync.WaitGroup

	mu     sync.Mutex
	err    error             // why there are no new actors; guarded by mu
	next   uint64            // guarded by mu
	actors map[string]*actor // those that take jobs, by vfs.Identity.Key; guarded by mu
	alive  map[uint64]uint32 // users of all that have not ended, by the actor's number; guarded by mu
}

// An actor is one process.
type actor struct {
	id     uint64
	key    string
	socket *net.UnixConn
	turn   *semaphore.Weighted // of weight 1: one job at a time
	jobs   uint64              // guarded by turn
	rest   *time.Timer         // ends it
	rested time.Time           // since when it has nothing to do; guarded by Pool.mu
	users  int                 // who wait for their turn, or have it; guarded by Pool.mu
	over   bool                // it takes no jobs any more; guarded by Pool.mu
}

// Start starts the template. It must be called before rights are given up; MaybeRun is what the
// new process calls.
func Start() (*Pool, error) {
	ours, theirs, err := socketPair()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	inheritNothing()
	p := &Pool{
		template: &exec.Cmd{Path: "/proc/self/exe", Args: []string{templateName}, Dir: "/", Env: []string{}, ExtraFiles: []*os.File{theirs}},
		socket:   ours, actors: make(map[string]*actor), alive: make(map[uint64]uint32),
	}
	if err := p.template.Start(); err != nil {
		ours.Close()
		return nil, fmt.Errorf("start the template of actors: %w", err)
	}
	p.reader.Go(p.readEnds)
	return p, nil
}

// inheritNothing has what is started not get descriptors that this program was given. Before
// Linux 5.11 it does.
func inheritNothing() {
	_ = unix.CloseRange(socketFD, 1<<31-1, unix.CLOSE_RANGE_CLOEXEC)
}

// socketPair is one connection, whose messages have an end.
func socketPair() (ours *net.UnixConn, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("socketpair: %w", err)
	}
	file := os.NewFile(uintptr(fds[0]), "actor")
	defer file.Close()
	theirs = os.NewFile(uintptr(fds[1]), "actor")
	conn, err := net.FileConn(file)
	if err != nil {
		theirs.Close()
		return nil, nil, err
	}
	return conn.(*net.UnixConn), theirs, nil
}

// readEnds takes note of actors that have ended, until the template has.
func (p *Pool) readEnds() {
	buf := make([]byte, 64)
	for {
		n, err := p.socket.Read(buf)
		if err != nil || n == 0 {
			p.mu.Lock()
			if p.err == nil {
				p.err = fmt.Errorf("the process that starts actors has ended: %w", syscall.EIO)
			}
			p.mu.Unlock()
			return
		}
		if id, err := strconv.ParseUint(string(buf[:n]), 10, 64); err == nil {
			p.mu.Lock()
			delete(p.alive, id)
			for _, a := range p.actors {
				if a.id == id && a.users == 0 {
					p.endLocked(a)
				}
			}
			p.mu.Unlock()
		}
	}
}

// Close ends all actors and the template, and waits for it. Nothing may be under way.
func (p *Pool) Close() error {
	p.mu.Lock()
	p.err = syscall.ESHUTDOWN
	for _, a := range p.actors {
		a.rest.Stop()
		a.socket.Close()
	}
	clear(p.actors)
	p.mu.Unlock()
	err := p.socket.Close()
	_ = p.template.Process.Kill() // it would end by itself, unless it was stopped
	_ = p.template.Wait()
	p.reader.Wait()
	return err
}

// Do has a job done as who. It may be called concurrently; ctx must have a deadline. An error of
// the action itself is in the answer's Errno, with no text; EAGAIN, EIO and ETIMEDOUT with one are
// those of the actor, and then it may be, at ETIMEDOUT, that the job was done.
func (p *Pool) Do(ctx context.Context, who vfs.Identity, j Job) control.Answer {
	for range MaxPerUser {
		a, err := p.enter(who)
		if err != nil {
			return control.Answer{Errno: vfs.Errno(err), Text: err.Error()}
		}
		answer, err := p.ask(ctx, a, j)
		p.leave(a)
		switch {
		case err == nil:
			return answer
		case errors.Is(err, errOver):
			continue // nothing was sent
		}
		return control.Answer{Errno: vfs.Errno(err), Text: err.Error()}
	}
	return control.Answer{Errno: syscall.EIO, Text: "the processes that act for this user end at once"}
}

// errOver is that an actor had ended before it was sent anything.
var errOver = errors.New("the actor has ended")

// enter is the actor of a user, started if need be.
func (p *Pool) enter(who vfs.Identity) (*actor, error) {
	key := who.Key()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return nil, p.err
	}
	a := p.actors[key]
	if a == nil {
		var err error
		if a, err = p.startLocked(who, key); err != nil {
			return nil, err
		}
		p.actors[key] = a
	}
	a.users++
	a.rest.Stop()
	return a, nil
}

func (p *Pool) startLocked(who vfs.Identity, key string) (*actor, error) {
	mine := 0
	for _, uid := range p.alive {
		if uid == who.UID {
			mine++
		}
	}
	if mine >= MaxPerUser {
		return nil, fmt.Errorf("%d processes that act as user %d do not end (are they stopped?): %w", mine, who.UID, syscall.EAGAIN)
	}
	if len(p.alive) >= maxActors {
		if !p.endRestingLocked() && !who.IsRoot() {
			return nil, fmt.Errorf("%d users act on processes at this time: %w", maxActors, syscall.EAGAIN)
		}
	}
	ours, theirs, err := socketPair()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	p.next++
	a := &actor{id: p.next, key: key, socket: ours, turn: semaphore.NewWeighted(1)}
	request := joinNUL(append([]string{strconv.FormatUint(a.id, 10), "start"}, argsOf(who)...)...)
	if len(request) > maxMessage {
		ours.Close()
		return nil, fmt.Errorf("user %d has too many groups: %w", who.UID, syscall.E2BIG)
	}
	if err := sendWith(p.socket, request, int(theirs.Fd())); err != nil {
		ours.Close()
		return nil, fmt.Errorf("ask for an actor: %w", err)
	}
	p.alive[a.id] = who.UID
	a.rest = time.AfterFunc(restTime, func() { p.restOver(a) })
	return a, nil
}

// sendTime is how long the template may take to have room for a message.
const sendTime = time.Second

func sendWith(socket *net.UnixConn, text []byte, fds ...int) error {
	if err := socket.SetWriteDeadline(time.Now().Add(sendTime)); err != nil {
		return err
	}
	var oob []byte
	if len(fds) > 0 {
		oob = unix.UnixRights(fds...)
	}
	_, _, err := socket.WriteMsgUnix(text, oob, nil)
	return err
}

// endRestingLocked ends the actor that has rested the longest; false is that none rests.
func (p *Pool) endRestingLocked() bool {
	var oldest *actor
	for _, a := range p.actors {
		if a.users == 0 && (oldest == nil || a.rested.Before(oldest.rested)) {
			oldest = a
		}
	}
	if oldest != nil {
		p.endLocked(oldest)
	}
	return oldest != nil
}

// endLocked lets an actor end, which has nothing to do.
func (p *Pool) endLocked(a *actor) {
	if a.over {
		return
	}
	a.over = true
	if p.actors[a.key] == a {
		delete(p.actors, a.key)
	}
	a.rest.Stop()
	a.socket.Close()
}

// restOver ends an actor that has had nothing to do for restTime.
func (p *Pool) restOver(a *actor) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if a.users == 0 {
		p.endLocked(a)
	}
}

// isOver reports whether an actor takes no jobs any more.
func (p *Pool) isOver(a *actor) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return a.over
}

// leave is the end of what enter began.
func (p *Pool) leave(a *actor) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if a.users--; a.users == 0 && !a.over {
		a.rested = time.Now()
		a.rest.Reset(restTime)
	}
}

// drop gives an actor up that has not answered, or not well.
func (p *Pool) drop(a *actor) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if a.over {
		return
	}
	p.endLocked(a)
	if p.err == nil {
		_ = sendWith(p.socket, joinNUL(strconv.FormatUint(a.id, 10), "kill")) // or it ends with its socket
	}
}

// ask makes one exchange with an actor.
func (p *Pool) ask(ctx context.Context, a *actor, j Job) (answer control.Answer, err error) {
	if err := a.turn.Acquire(ctx, 1); err != nil {
		return answer, fmt.Errorf("the process that acts for this user does not answer: %w", err)
	}
	defer a.turn.Release(1)
	deadline, ok := ctx.Deadline()
	if !ok {
		return answer, fmt.Errorf("a job without deadline: %w", syscall.EINVAL)
	}
	if p.isOver(a) {
		return answer, errOver
	}
	defer func() {
		if err != nil {
			p.drop(a)
		}
	}()
	a.jobs++
	msg := appendJob(nil, a.jobs, monotonicAt(deadline), j)
	if len(msg) > maxMessage {
		return answer, syscall.E2BIG
	}
	// An exchange that has begun is not left before its deadline: an answer must not be taken for
	// that to another job.
	if err := a.socket.SetDeadline(deadline); err != nil {
		return answer, broken(err)
	}
	if _, _, err := a.socket.WriteMsgUnix(msg, unix.UnixRights(j.Dir), nil); err != nil {
		if errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) {
			return answer, errOver
		}
		return answer, broken(err)
	}
	buf := make([]byte, 2*control.MaxLine)
	n, err := a.socket.Read(buf)
	if err != nil {
		return answer, broken(err)
	}
	all, err := control.ParseAnswers(buf[:n])
	switch {
	case err != nil || len(all) != 1:
		return answer, fmt.Errorf("the process that acts for this user gave no answer: %w", syscall.EIO)
	case all[0].ID != a.jobs:
		return answer, fmt.Errorf("the process that acts for this user could not become them (%s): %w", all[0].Text, syscall.EIO)
	}
	return all[0], nil
}

// broken is the error of an exchange that failed.
func broken(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("the process that acts for this user has not answered (is it stopped?): %w", syscall.ETIMEDOUT)
	}
	return fmt.Errorf("the process that acts for this user has ended (%v): %w", err, syscall.EIO)
}
