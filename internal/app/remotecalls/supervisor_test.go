package remotecalls

import (
	"encoding/binary"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/aggrfs/aggrfs/internal/seccomp"
	"github.com/aggrfs/aggrfs/test/wait"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// on runs f on a thread of its own whose calls a supervisor of the tree answers. Before it has
// the filter the thread does what become says.
func on(t *testing.T, tree *fake, become func() error, f func()) {
	t.Helper()
	listeners, proceed, ended := make(chan int), make(chan bool), make(chan struct{})
	go func() {
		defer close(ended)
		runtime.LockOSThread() // and never unlocked: the thread ends here
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			t.Error(err)
		}
		fd, err := seccomp.Install()
		if err == nil && become != nil {
			err = become()
		}
		if err != nil {
			t.Error(err)
		}
		listeners <- fd
		if <-proceed {
			f()
		}
	}()
	l, err := seccomp.NewListener(<-listeners)
	if err != nil {
		close(proceed)
		t.Fatal(err)
	}
	s := Start(Config{Listener: l, Native: "/proc", Tree: tree.tree, Deadline: 30 * time.Second})
	proceed <- !t.Failed()
	<-ended
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func call(nr uintptr, args ...uintptr) (uintptr, unix.Errno) {
	var a [6]uintptr
	copy(a[:], args)
	v, _, errno := unix.Syscall6(nr, a[0], a[1], a[2], a[3], a[4], a[5])
	return v, errno
}

const one, two, thread = 20_000_001, 20_000_002, 20_000_003

func newTree() *fake {
	f := newFake()
	f.process(one, one, one, 1001, 5, "0 1")
	f.process(two, two, one, 1002, -3, "7 2")
	f.process(thread, two, one, 1002, 0, "0 0")
	return f
}

// pair is what a raw call returns.
type pair struct {
	value uintptr
	errno unix.Errno
}

func got(v uintptr, errno unix.Errno) pair {
	if errno != 0 {
		v = 0
	}
	return pair{v, errno}
}

// What only reads is answered by the tree, without cluster/ctl.
func TestReads(t *testing.T) {
	tree := newTree()
	tree.acting = false
	on(t, tree, nil, func() {
		const gone, group = 20_000_009, one
		for _, test := range []struct {
			name string
			got  pair
			want pair
		}{
			{"getpriority", got(call(unix.SYS_GETPRIORITY, 0, one)), pair{15, 0}},
			{"getpriority of a group", got(call(unix.SYS_GETPRIORITY, 1, group)), pair{23, 0}},
			{"getpriority of none", got(call(unix.SYS_GETPRIORITY, 0, gone)), pair{0, unix.ESRCH}},
			{"getpriority of no group", got(call(unix.SYS_GETPRIORITY, 1, gone)), pair{0, unix.ESRCH}},
			{"getpgid", got(call(unix.SYS_GETPGID, two)), pair{one, 0}},
			{"getsid", got(call(unix.SYS_GETSID, two)), pair{one + 1, 0}},
			{"getsid of a negative one", got(call(unix.SYS_GETSID, ^uintptr(0)-5_000_000)), pair{0, unix.ESRCH}},
			{"sched_getscheduler", got(call(unix.SYS_SCHED_GETSCHEDULER, two)), pair{2, 0}},
			{"sched_getscheduler of a negative one", got(call(unix.SYS_SCHED_GETSCHEDULER, ^uintptr(0)-5_000_000)), pair{0, unix.EINVAL}},
			{"kill with 0", got(call(unix.SYS_KILL, one, 0)), pair{0, 0}},
			{"kill of none", got(call(unix.SYS_KILL, gone, 0)), pair{0, unix.ESRCH}},
			{"kill of a group with 0", got(call(unix.SYS_KILL, ^uintptr(one-1), 0)), pair{0, 0}},
			{"kill of no group", got(call(unix.SYS_KILL, ^uintptr(gone-1), 0)), pair{0, unix.ESRCH}},
			{"kill with a signal that is none", got(call(unix.SYS_KILL, one, 65)), pair{0, unix.EINVAL}},
			{"tgkill with 0", got(call(unix.SYS_TGKILL, two, thread, 0)), pair{0, 0}},
			{"tgkill of another's thread", got(call(unix.SYS_TGKILL, one, thread, 0)), pair{0, unix.ESRCH}},
			{"pidfd_open", got(call(unix.SYS_PIDFD_OPEN, one, 0)), pair{0, unix.ENOSYS}},
			{"kill, which is not allowed", got(call(unix.SYS_KILL, one, 15)), pair{0, unix.EPERM}},
			{"kill of a group, which is not allowed", got(call(unix.SYS_KILL, ^uintptr(one-1), 15)), pair{0, unix.EPERM}},
			{"kill of none, which is not allowed", got(call(unix.SYS_KILL, gone, 15)), pair{0, unix.ESRCH}},
			{"kill of no group, which is not allowed", got(call(unix.SYS_KILL, ^uintptr(gone-1), 15)), pair{0, unix.ESRCH}},
			{"setpriority, which is not allowed", got(call(unix.SYS_SETPRIORITY, 0, one, 7)), pair{0, unix.EPERM}},
		} {
			eq(t, test.name, test.got, test.want)
		}
		mask := make([]byte, 64)
		eq(t, "sched_getaffinity", got(call(unix.SYS_SCHED_GETAFFINITY, one, 64, uintptr(unsafe.Pointer(&mask[0])))), pair{8, 0})
		eq(t, "its mask", binary.LittleEndian.Uint64(mask), uint64(1<<32|5))
		eq(t, "too short", got(call(unix.SYS_SCHED_GETAFFINITY, one, 0, uintptr(unsafe.Pointer(&mask[0])))), pair{0, unix.EINVAL})
		eq(t, "at no address", got(call(unix.SYS_SCHED_GETAFFINITY, one, 64, 8)), pair{0, unix.EFAULT})
		var priority int32
		eq(t, "sched_getparam", got(call(unix.SYS_SCHED_GETPARAM, two, uintptr(unsafe.Pointer(&priority)))), pair{})
		eq(t, "its priority", priority, int32(7))
		attr, err := unix.SchedGetAttr(two, 0)
		if err != nil {
			t.Fatal(err)
		}
		eq(t, "sched_getattr", fmt.Sprint(attr.Size, attr.Policy, attr.Priority, attr.Nice), "56 2 7 0")
		attr, err = unix.SchedGetAttr(thread, 0)
		if err != nil {
			t.Fatal(err)
		}
		eq(t, "sched_getattr of a thread", fmt.Sprint(attr.Size, attr.Policy, attr.Priority, attr.Nice), "56 0 0 0")
		eq(t, "ioprio_get, which only the node knows", got(call(unix.SYS_IOPRIO_GET, 1, one)), pair{0, unix.EPERM})
	})
	eq(t, "what was asked", tree.requests(), "")
}

// What acts is asked of cluster/ctl, in its words.
func TestActions(t *testing.T) {
	tree := newTree()
	tree.answers["0: 20000001#777 get-ioprio"] = "ok be:3"
	tree.answers["0: 20000001#777 get-nice"] = "ok 7"
	tree.answers["0: 20000001#777 get-sched"] = "ok fifo 4"
	tree.answers["0: 20000001#777 get-affinity"] = "ok 1,3-4"
	on(t, tree, nil, func() {
		if os.Geteuid() != 0 {
			t.Fatal("not root: make test runs as root")
		}
		param := int32(4)
		mask := []byte{0b1011_0111, 1, 0, 0, 0, 0, 0, 0}
		info := make([]byte, 128)
		binary.LittleEndian.PutUint32(info[8:], uint32(0xffffffff)) // SI_QUEUE
		binary.LittleEndian.PutUint64(info[24:], 0xdead_0000_0000_002a)
		at := func(p unsafe.Pointer) uintptr { return uintptr(p) }
		for _, test := range []struct {
			name string
			do   func() (uintptr, unix.Errno)
			want string
		}{
			{"kill", func() (uintptr, unix.Errno) { return call(unix.SYS_KILL, one, 15) }, "0: 20000001#777 signal 15"},
			{"kill by a thread's number", func() (uintptr, unix.Errno) { return call(unix.SYS_KILL, thread, 9) }, "0: 20000002 signal 9"},
			{"kill of a group", func() (uintptr, unix.Errno) { return call(unix.SYS_KILL, ^uintptr(one-1), 1) }, "0: -20000001 signal 1"},
			{"tkill", func() (uintptr, unix.Errno) { return call(unix.SYS_TKILL, thread, 10) }, "0: 20000002/20000003 signal 10"},
			{"tgkill", func() (uintptr, unix.Errno) { return call(unix.SYS_TGKILL, two, thread, 10) }, "0: 20000002/20000003 signal 10"},
			{"tkill of a first thread", func() (uintptr, unix.Errno) { return call(unix.SYS_TKILL, one, 10) }, "0: 20000001/20000001#777 signal 10"},
			{"rt_sigqueueinfo", func() (uintptr, unix.Errno) {
				return call(unix.SYS_RT_SIGQUEUEINFO, one, 35, at(unsafe.Pointer(&info[0])))
			}, "0: 20000001#777 sigqueue 35 42"},
			{"rt_tgsigqueueinfo", func() (uintptr, unix.Errno) {
				return call(unix.SYS_RT_TGSIGQUEUEINFO, two, thread, 35, at(unsafe.Pointer(&info[0])))
			}, "0: 20000002/20000003 sigqueue 35 42"},
			{"setpriority", func() (uintptr, unix.Errno) { return call(unix.SYS_SETPRIORITY, 0, one, 7) }, "0: 20000001#777 nice 7"},
			{"setpriority of a thread", func() (uintptr, unix.Errno) { return call(unix.SYS_SETPRIORITY, 0, thread, 70) }, "0: 20000002/20000003 nice 19"},
			{"setpriority of a group", func() (uintptr, unix.Errno) { return call(unix.SYS_SETPRIORITY, 1, one, 7) }, "0: -20000001 nice 7"},
			{"ioprio_set", func() (uintptr, unix.Errno) { return call(unix.SYS_IOPRIO_SET, 1, one, 2<<13|6) }, "0: 20000001#777 ioprio be:6"},
			{"ioprio_set, idle", func() (uintptr, unix.Errno) { return call(unix.SYS_IOPRIO_SET, 1, one, 3<<13) }, "0: 20000001#777 ioprio idle"},
			{"sched_setaffinity", func() (uintptr, unix.Errno) {
				return call(unix.SYS_SCHED_SETAFFINITY, one, 8, at(unsafe.Pointer(&mask[0])))
			}, "0: 20000001#777 affinity 0-2,4-5,7-8"},
			{"sched_setscheduler", func() (uintptr, unix.Errno) {
				return call(unix.SYS_SCHED_SETSCHEDULER, one, 1, at(unsafe.Pointer(&param)))
			}, "0: 20000001#777 sched fifo 4"},
			{"sched_setparam", func() (uintptr, unix.Errno) {
				return call(unix.SYS_SCHED_SETPARAM, two, at(unsafe.Pointer(&param)))
			}, "0: 20000002#777 sched rr 4"},
		} {
			_, errno := test.do()
			eq(t, test.name, errno, unix.Errno(0))
			eq(t, test.name, tree.requests(), test.want)
		}
		eq(t, "ioprio_get", got(call(unix.SYS_IOPRIO_GET, 1, one)), pair{2<<13 | 3, 0})
		tree.requests()
		// What was acted on is asked of its node: the tree may tell what was.
		eq(t, "getpriority", got(call(unix.SYS_GETPRIORITY, 0, one)), pair{13, 0})
		eq(t, "sched_getscheduler", got(call(unix.SYS_SCHED_GETSCHEDULER, one)), pair{1, 0})
		now := make([]byte, 8)
		eq(t, "sched_getaffinity", got(call(unix.SYS_SCHED_GETAFFINITY, one, 8, at(unsafe.Pointer(&now[0])))), pair{8, 0})
		eq(t, "sched_getaffinity", listOf(now), "1,3-4")
		eq(t, "what was asked", tree.requests(), "0: 20000001#777 get-nice; 0: 20000001#777 get-sched; 0: 20000001#777 get-affinity")
		binary.LittleEndian.PutUint32(info[8:], 0) // SI_USER
		eq(t, "a signal as kill(2) sends it", got(call(unix.SYS_RT_SIGQUEUEINFO, one, 35, at(unsafe.Pointer(&info[0])))), pair{0, unix.EPERM})
		eq(t, "a siginfo_t that is not there", got(call(unix.SYS_RT_SIGQUEUEINFO, one, 35, 8)), pair{0, unix.EFAULT})
		err := unix.SchedSetAttr(one, &unix.SchedAttr{Size: 48, Policy: 3, Nice: 9}, 0)
		eq(t, "sched_setattr", err, nil)
		eq(t, "sched_setattr", tree.requests(), "0: 20000001#777 sched batch 0; 0: 20000001#777 get-nice; 0: 20000001#777 nice 9")
		runtime.KeepAlive(mask)
		runtime.KeepAlive(info)
	})
}

// Errors of a node are the call's own.
func TestErrors(t *testing.T) {
	tree := newTree()
	on(t, tree, nil, func() {
		for text, want := range map[string]unix.Errno{
			"ok": 0, "error EPERM no": unix.EPERM, "error ESRCH gone": unix.ESRCH, "error EHOSTDOWN n1 hangs": unix.EHOSTDOWN,
			"error EACCES": unix.EACCES, "error EBOGUS what": unix.EIO, "nonsense": unix.EIO, "error": unix.EIO,
		} {
			tree.mu.Lock()
			tree.answers["0"] = text
			tree.mu.Unlock()
			_, errno := call(unix.SYS_KILL, one, 15)
			eq(t, text, errno, want)
		}
	})
}

// Limits are answered and set, old ones before new ones.
func TestLimits(t *testing.T) {
	tree := newFake()
	tree.process(one, one, one, uint32(os.Getuid()), 0, "0 0")
	on(t, tree, nil, func() {
		var old unix.Rlimit
		eq(t, "prlimit", unix.Prlimit(one, unix.RLIMIT_NOFILE, nil, &old), nil)
		eq(t, "its limits", old, unix.Rlimit{Cur: 1024, Max: 4096})
		eq(t, "prlimit", unix.Prlimit(one, unix.RLIMIT_CPU, nil, &old), nil)
		eq(t, "its limits", old, unix.Rlimit{Cur: infinity, Max: infinity})
		eq(t, "what was asked", tree.requests(), "")
		old = unix.Rlimit{}
		set := unix.Rlimit{Cur: 5, Max: infinity}
		err := unix.Prlimit(one, unix.RLIMIT_NOFILE, &set, &old)
		who := caller{user: 0, initial: true, caps: effectiveCaps(t)}
		if who.isRoot(unix.CAP_SYS_RESOURCE) {
			eq(t, "setting", err, nil)
			eq(t, "what was asked", tree.requests(), "0: 20000001#777 rlimit nofile 5:unlimited")
			eq(t, "what was", old, unix.Rlimit{Cur: 1024, Max: 4096})
		} else {
			eq(t, "setting without CAP_SYS_RESOURCE", err, error(unix.EPERM))
		}
		set = unix.Rlimit{Cur: 6, Max: 5}
		eq(t, "a soft limit above the hard one", unix.Prlimit(one, unix.RLIMIT_NOFILE, &set, nil), error(unix.EINVAL))
		eq(t, "a limit that is none", unix.Prlimit(one, 16, nil, &old), error(unix.EINVAL))
	})
}

func effectiveCaps(t *testing.T) uint64 {
	t.Helper()
	c, err := callerOf("/proc", uint32(os.Getpid()))
	if err != nil {
		t.Fatal(err)
	}
	return c.caps
}

// become makes the calling thread a user's, with a saved user id that is the real one's.
func become(real, effective uint32, groups ...uint32) func() error {
	return func() error {
		var first *uint32
		if len(groups) > 0 {
			first = &groups[0]
		}
		for _, c := range [][]uintptr{
			{unix.SYS_SETGROUPS, uintptr(len(groups)), uintptr(unsafe.Pointer(first))},
			{unix.SYS_SETRESGID, 1500, 1500, 1500},
			{unix.SYS_SETRESUID, uintptr(real), uintptr(effective), uintptr(real)},
		} {
			if _, errno := call(c[0], c[1:]...); errno != 0 {
				return errno
			}
		}
		return nil
	}
}

// A thread acts as whom it is at that moment, and the tree is shown to it as such.
func TestAsWhom(t *testing.T) {
	const signal = "20000001#777 signal 15"
	for _, test := range []struct {
		name    string
		become  func() error
		refuse  []string // who the node refuses
		reader  uint32
		asked   string
		want    unix.Errno
		mayTest unix.Errno // kill with 0, of a process of 1001
	}{
		{"a user", become(1001, 1001), nil, 1001, "1001: " + signal, 0, 0},
		{"another user", become(1002, 1002), []string{"1002"}, 1002, "1002: " + signal, unix.EPERM, unix.EPERM},
		{"as the real user", become(1001, 1002), []string{"1002"}, 1002, "1002: " + signal + "; 1001: " + signal, 0, 0},
		{"as the effective user", become(1002, 1001), nil, 1001, "1001: " + signal, 0, 0},
		{"root that has become a user for a time", become(0, 1002), []string{"1002"}, 1002, "1002: " + signal, unix.EPERM, unix.EPERM},
		{"a user who is root for a time", become(1002, 0), nil, 0, "0: " + signal, 0, 0},
		{"root without the capability", func() error {
			var none [2]unix.CapUserData
			return unix.Capset(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &none[0])
		}, nil, 0, "", unix.EPERM, unix.EPERM},
		{"root without CAP_KILL", func() error {
			var caps [2]unix.CapUserData
			header := &unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
			if err := unix.Capget(header, &caps[0]); err != nil {
				return err
			}
			caps[0].Effective &^= 1 << unix.CAP_KILL
			return unix.Capset(header, &caps[0])
		}, nil, 0, "", unix.EPERM, unix.EPERM},
	} {
		t.Run(test.name, func(t *testing.T) {
			tree := newTree()
			for _, uid := range test.refuse {
				tree.answers[uid] = "error EPERM refused"
			}
			on(t, tree, test.become, func() {
				_, errno := call(unix.SYS_KILL, one, 15)
				eq(t, "kill", errno, test.want)
				eq(t, "asked", tree.requests(), test.asked)
				_, errno = call(unix.SYS_KILL, one, 0)
				eq(t, "kill with 0", errno, test.mayTest)
			})
			for _, uid := range tree.readers {
				eq(t, "the tree is read as", uid, test.reader)
			}
		})
	}
}

// Who is shown nothing is told that there is nothing.
func TestNotShown(t *testing.T) {
	tree := newTree()
	tree.refuses = map[uint32]bool{1002: true}
	on(t, tree, become(1002, 1002), func() {
		_, errno := call(unix.SYS_KILL, one, 15)
		eq(t, "kill", errno, unix.ESRCH)
	})
	eq(t, "asked", tree.requests(), "")
}

// The groups of a thread come with it.
func TestCaller(t *testing.T) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if err := become(1001, 1002, 1700, 1600, 1500)(); err != nil {
			t.Error(err)
		}
		c, err := callerOf("/proc", uint32(unix.Gettid()))
		if err != nil {
			t.Error(err)
		}
		eq(t, "caller", fmt.Sprint(c.real, c.user, c.realG, c.gid, c.groups, c.caps, c.tgid), fmt.Sprint(1001, 1002, 1500, 1500, []uint32{1600, 1700}, 0, os.Getpid()))
	}()
	<-done
}

// An action is done once, though its call is interrupted and made anew: the filter is told so by
// a second call of the same thread with the same arguments before the first has got its answer.
func TestOnce(t *testing.T) {
	var o onceOnly
	who := caller{tid: 7, tgid: 5}
	n := &seccomp.Notification{Nr: unix.SYS_KILL, Args: [6]uint64{one, 15}}
	first, mine := o.begin(who, n, "signal 15")
	eq(t, "the first is carried out", mine, true)
	again, mine := o.begin(who, n, "signal 15")
	eq(t, "the second is carried out", mine, false)
	eq(t, "it is the first", again, first)
	first.end("", unix.EPERM)
	first.answered(false)
	<-again.done
	eq(t, "what it returns", again.errno, unix.EPERM)
	again.answered(true)
	_, mine = o.begin(who, n, "signal 15")
	eq(t, "the next is carried out", mine, true)
	_, mine = o.begin(who, &seccomp.Notification{Nr: unix.SYS_KILL, Args: [6]uint64{one, 9}}, "signal 9")
	eq(t, "another is carried out", mine, true)
	root := who
	root.caps = 1 << unix.CAP_KILL
	_, mine = o.begin(root, &seccomp.Notification{Nr: unix.SYS_KILL, Args: [6]uint64{one, 9}}, "signal 9")
	eq(t, "that of a thread with the same number and other rights is carried out", mine, true)
	other := who
	other.tid = 8
	_, mine = o.begin(other, n, "signal 15")
	eq(t, "another thread's is carried out", mine, true)
}

// A signal that comes while a call waits does not have it done twice.
func TestInterrupted(t *testing.T) {
	tree := newTree()
	tree.hang = make(chan struct{})
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGUSR1)
	defer signal.Stop(signals)
	tids, done := make(chan int), make(chan struct{})
	go func() {
		defer close(done)
		tid := <-tids
		wait.Until(t, "the node is asked", func() bool {
			tree.mu.Lock()
			defer tree.mu.Unlock()
			return len(tree.requested) > 0
		})
		for range 10 {
			if err := unix.Tgkill(os.Getpid(), tid, unix.SIGUSR1); err != nil {
				t.Error(err)
			}
			time.Sleep(time.Millisecond)
		}
		close(tree.hang)
	}()
	on(t, tree, nil, func() {
		tids <- unix.Gettid()
		_, errno := call(unix.SYS_KILL, one, 15)
		eq(t, "kill", errno, unix.Errno(0))
	})
	<-done
	eq(t, "asked", tree.requests(), "0: 20000001#777 signal 15")
}

// A node that hangs costs its own callers alone, and they end at the deadline with EHOSTDOWN.
func TestHanging(t *testing.T) {
	tree := newTree()
	tree.hang = make(chan struct{})
	listeners, proceed := make(chan int), make(chan bool)
	var threads sync.WaitGroup
	errnos := make(chan unix.Errno, 64)
	threads.Go(func() {
		runtime.LockOSThread()
		unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
		fd, err := seccomp.Install()
		if err != nil {
			t.Error(err)
		}
		listeners <- fd
		<-proceed
		_, errno := call(unix.SYS_KILL, one, 15)
		errnos <- errno
	})
	l, err := seccomp.NewListener(<-listeners)
	if err != nil {
		t.Fatal(err)
	}
	s := Start(Config{Listener: l, Native: "/proc", Tree: tree.tree, Deadline: 200 * time.Millisecond})
	close(proceed)
	threads.Wait()
	eq(t, "kill", <-errnos, unix.EHOSTDOWN)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestMasks(t *testing.T) {
	for text, want := range map[string]string{
		"3": "0-1", "ff": "0-7", "1,00000005": "0,2,32", "80000000,00000000": "63", "00000001,00000000,00000000": "64", "0": "",
	} {
		mask, ok := maskOf([]byte(text))
		if list := listOf(mask); !ok || list != want || len(mask)%8 != 0 {
			t.Errorf("%s: %q of %d bytes, want %q", text, list, len(mask), want)
		}
	}
	for _, text := range []string{"", "x", strings.Repeat("f", 5000)} {
		if _, ok := maskOf([]byte(text)); ok {
			t.Errorf("%.10q is taken", text)
		}
	}
}

func TestProcessAt(t *testing.T) {
	for at, want := range map[string]string{
		"/20000001": "20000001", "/n1:7": "n1:7", "/nodes/n1/7": "n1:7", "/sets/n[1-2]/20000001": "20000001",
		"/sets/n1/users/ann/20000001": "20000001", "/users/ann/n1:7": "n1:7",
		"/": "", "/self": "", "/20000001/task": "", "/20000001/task/20000001": "", "/nodes/n1": "", "/nodes/n1/net": "", "/sets/n1": "", "/cluster/where": "", "/sets/n1/nodes/n1/7": "",
	} {
		name, ok := processAt(at)
		if name != want && ok || ok != (want != "") {
			t.Errorf("%s: %q, %v; want %q", at, name, ok, want)
		}
	}
}
