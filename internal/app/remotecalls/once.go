package remotecalls

import (
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aggrfs/aggrfs/internal/seccomp"
)

// onceTime is how long an action is remembered whose answer nobody got: the kernel makes an
// interrupted call again at once, when the signal's handler has returned.
const onceTime = 2 * time.Second

// onceOnly knows the last action of each thread, until its answer has arrived.
type onceOnly struct {
	mu  sync.Mutex
	all map[int]*action // by thread
}

// An action is one that a thread's call asked for.
type action struct {
	of        *onceOnly
	who       string // who makes it, as asWhom has it
	tid, tgid int
	nr        int32
	args      [6]uint64
	verb      string
	done      chan struct{} // closed when the rest stands
	value     string
	errno     unix.Errno
}

// begin is the action of a thread's call, and whether the caller of begin is to carry it out. An
// earlier one of the same thread, with the same rights, by the same call is the same one.
func (o *onceOnly) begin(who caller, n *seccomp.Notification, verb string) (a *action, mine bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if a := o.all[who.tid]; a != nil && a.tgid == who.tgid && a.who == who.asWhom() && a.nr == n.Nr && a.args == n.Args && a.verb == verb {
		return a, false
	}
	a = &action{of: o, who: who.asWhom(), tid: who.tid, tgid: who.tgid, nr: n.Nr, args: n.Args, verb: verb, done: make(chan struct{})}
	if o.all == nil {
		o.all = make(map[int]*action)
	}
	o.all[who.tid] = a
	return a, true
}

// end says what the action came to.
func (a *action) end(value string, errno unix.Errno) {
	a.value, a.errno = value, errno
	close(a.done)
}

// answered is told whether the call got its answer. If so, the thread's next call is another.
func (a *action) answered(got bool) {
	if got {
		a.forget()
		return
	}
	time.AfterFunc(onceTime, a.forget)
}

func (a *action) forget() {
	a.of.mu.Lock()
	defer a.of.mu.Unlock()
	if a.of.all[a.tid] == a {
		delete(a.of.all, a.tid)
	}
}
