package seccomp_test

import (
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/aggrfs/aggrfs/internal/seccomp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// mark is an errno that none of the calls returns by itself.
const mark = unix.EADV

// filtered runs f on a thread that has the filter and ends with f. What the filter sends is
// answered with mark, and counted.
func filtered(t *testing.T, f func(), sent *atomic.Int64, answer func(l *seccomp.Listener, n seccomp.Notification) seccomp.Answer) {
	t.Helper()
	listeners, ended := make(chan int), make(chan struct{})
	proceed := make(chan bool)
	go func() {
		defer close(ended)
		runtime.LockOSThread() // and never unlocked: the thread ends with this function
		if os.Geteuid() != 0 {
			if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
				t.Error(err)
			}
		}
		fd, err := seccomp.Install()
		if err != nil {
			t.Error(err)
			fd = -1
		}
		listeners <- fd
		if <-proceed {
			f()
		}
	}()
	fd := <-listeners
	if fd < 0 {
		close(proceed)
		<-ended
		t.FailNow()
	}
	l, err := seccomp.NewListener(fd)
	if err != nil {
		t.Fatal(err)
	}
	received := make(chan error)
	go func() {
		for {
			n, err := l.Receive()
			if err != nil {
				received <- err
				return
			}
			sent.Add(1)
			if n.TID == 0 || !l.Valid(n.ID) {
				t.Errorf("thread %d, or the call does not wait", n.TID)
			}
			if !l.Answer(n.ID, answer(l, n)) {
				t.Error("nobody took the answer")
			}
		}
	}()
	proceed <- true
	<-ended
	l.Stop()
	if err := <-received; !errors.Is(err, io.EOF) {
		t.Error(err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

func marks(*seccomp.Listener, seccomp.Notification) seccomp.Answer {
	return seccomp.Answer{Errno: mark}
}

// calls are the calls with a process in the argument of that number. All of them fail, or
// change nothing, if the kernel carries them out.
func calls(pid uint64) map[string][7]uint64 {
	return map[string][7]uint64{
		"kill":                  {unix.SYS_KILL, pid, 0},
		"tkill":                 {unix.SYS_TKILL, pid, 0},
		"tgkill":                {unix.SYS_TGKILL, pid, pid, 0},
		"rt_sigqueueinfo":       {unix.SYS_RT_SIGQUEUEINFO, pid, 0, 0},
		"rt_tgsigqueueinfo":     {unix.SYS_RT_TGSIGQUEUEINFO, pid, pid, 0, 0},
		"pidfd_open":            {unix.SYS_PIDFD_OPEN, pid, math.MaxUint32},
		"getpgid":               {unix.SYS_GETPGID, pid},
		"getsid":                {unix.SYS_GETSID, pid},
		"getpriority":           {unix.SYS_GETPRIORITY, 0, pid},
		"getpriority, group":    {unix.SYS_GETPRIORITY, 1, pid},
		"setpriority":           {unix.SYS_SETPRIORITY, 0, pid, 19},
		"setpriority, group":    {unix.SYS_SETPRIORITY, 1, pid, 19},
		"ioprio_get":            {unix.SYS_IOPRIO_GET, 1, pid},
		"ioprio_get, group":     {unix.SYS_IOPRIO_GET, 2, pid},
		"ioprio_set":            {unix.SYS_IOPRIO_SET, 1, pid, 0},
		"ioprio_set, group":     {unix.SYS_IOPRIO_SET, 2, pid, 0},
		"sched_getaffinity":     {unix.SYS_SCHED_GETAFFINITY, pid, 0, 0},
		"sched_setaffinity":     {unix.SYS_SCHED_SETAFFINITY, pid, 0, 0},
		"sched_getscheduler":    {unix.SYS_SCHED_GETSCHEDULER, pid},
		"sched_setscheduler":    {unix.SYS_SCHED_SETSCHEDULER, pid, 0, 0},
		"sched_getparam":        {unix.SYS_SCHED_GETPARAM, pid, 0},
		"sched_setparam":        {unix.SYS_SCHED_SETPARAM, pid, 0},
		"sched_getattr":         {unix.SYS_SCHED_GETATTR, pid, 0, 0, 0},
		"sched_setattr":         {unix.SYS_SCHED_SETATTR, pid, 0, 0},
		"sched_rr_get_interval": {unix.SYS_SCHED_RR_GET_INTERVAL, pid, 0},
		"prlimit64":             {unix.SYS_PRLIMIT64, pid, unix.RLIMIT_NOFILE, 0, 0},
	}
}

func do(c [7]uint64) unix.Errno {
	_, _, errno := unix.Syscall6(uintptr(c[0]), uintptr(c[1]), uintptr(c[2]), uintptr(c[3]), uintptr(c[4]), uintptr(c[5]), uintptr(c[6]))
	return errno
}

// A call is sent if the lower half of its process is no kernel's, whatever the upper half is, and
// stays in the kernel otherwise.
func TestWhatIsSent(t *testing.T) {
	var sent atomic.Int64
	filtered(t, func() {
		const upper = 1 << 32
		for _, pid := range []int64{seccomp.MaxPID + 1, 10_000_001, math.MaxInt32, -seccomp.MaxPID - 1, -20_000_001, math.MinInt32 + 1} {
			for _, arg := range []uint64{uint64(pid), uint64(uint32(pid)), uint64(uint32(pid)) | 7*upper} {
				for name, c := range calls(arg) {
					if errno := do(c); errno != mark {
						t.Errorf("%s with process %d (%#x): %v, want it sent", name, pid, arg, errno)
					}
				}
			}
		}
		// Numbers that no process has here, and 0 and -1 to such calls alone as do nothing to it.
		for _, pid := range []int64{seccomp.MaxPID, seccomp.MaxPID - 1, -seccomp.MaxPID, -seccomp.MaxPID + 1, math.MinInt32} {
			for _, arg := range []uint64{uint64(pid), uint64(uint32(pid)), uint64(uint32(pid)) | 7*upper} {
				for name, c := range calls(arg) {
					if errno := do(c); errno == mark {
						t.Errorf("%s with process %d (%#x) is sent", name, pid, arg)
					}
				}
			}
		}
		for name, c := range map[string][7]uint64{
			"kill of itself":       {unix.SYS_KILL, uint64(os.Getpid()), 0},
			"kill of its group":    {unix.SYS_KILL, 0, 0},
			"kill of all, with 65": {unix.SYS_KILL, math.MaxUint64, 65},
			"getpgid of itself":    {unix.SYS_GETPGID, 0},
			"getpriority, user":    {unix.SYS_GETPRIORITY, 2, 5_000_000},
			"setpriority, user":    {unix.SYS_SETPRIORITY, 2, 5_000_000, 0},
			"ioprio_get, user":     {unix.SYS_IOPRIO_GET, 3, 5_000_000},
			"ioprio_set, user":     {unix.SYS_IOPRIO_SET, 3, 5_000_000, 0},
			"ioprio_get, 0":        {unix.SYS_IOPRIO_GET, 0, 5_000_000},
			"getpriority, 3":       {unix.SYS_GETPRIORITY, 3, 5_000_000},
			"getpriority, -1":      {unix.SYS_GETPRIORITY, math.MaxUint32, 5_000_000},
			"another call":         {unix.SYS_GETPPID, 5_000_000},
			"waitid":               {unix.SYS_WAIT4, 5_000_000, 0, unix.WNOHANG, 0},
			"a number of x32":      {0x40000000 | unix.SYS_KILL, 5_000_000, 0},
		} {
			if errno := do(c); errno == mark {
				t.Errorf("%s is sent", name)
			}
		}
		if errno := do([7]uint64{unix.SYS_PIDFD_SEND_SIGNAL, math.MaxUint32, 0, 0, 0}); errno != mark {
			t.Errorf("pidfd_send_signal: %v, want it sent whatever its descriptor is", errno)
		}
	}, &sent, marks)
	if sent.Load() == 0 {
		t.Error("nothing was sent")
	}
}

// Random numbers are sent, or stay in the kernel, by the rule.
func TestRandomNumbers(t *testing.T) {
	var sent atomic.Int64
	filtered(t, func() {
		for range 20_000 {
			pid := int32(rand.Uint32())
			if -seccomp.MaxPID <= pid && pid <= seccomp.MaxPID || pid == math.MinInt32 {
				continue
			}
			if errno := do([7]uint64{unix.SYS_KILL, uint64(uint32(pid)), 0}); errno != mark {
				t.Fatalf("kill(%d, 0): %v, want it sent", pid, errno)
			}
		}
	}, &sent, marks)
}

// A call returns what it is answered, and the kernel's own answer where it is told to go on.
func TestAnswers(t *testing.T) {
	for _, test := range []struct {
		answer seccomp.Answer
		value  uintptr
		errno  unix.Errno
	}{
		{seccomp.Answer{Value: 23}, 23, 0},
		{seccomp.Answer{Value: math.MaxInt32}, math.MaxInt32, 0},
		{seccomp.Answer{}, 0, 0},
		{seccomp.Answer{Value: 23, Errno: unix.EHOSTDOWN}, ^uintptr(0), unix.EHOSTDOWN},
		{seccomp.Answer{Continue: true}, ^uintptr(0), unix.ESRCH},
	} {
		t.Run(fmt.Sprint(test.answer), func(t *testing.T) {
			var sent atomic.Int64
			filtered(t, func() {
				value, _, errno := unix.Syscall(unix.SYS_GETPGID, seccomp.MaxPID+1, 0, 0)
				if value != test.value || errno != test.errno {
					t.Errorf("got %d, %v; want %d, %v", value, errno, test.value, test.errno)
				}
			}, &sent, func(_ *seccomp.Listener, n seccomp.Notification) seccomp.Answer {
				if n.Nr != unix.SYS_GETPGID || n.Int(0) != seccomp.MaxPID+1 {
					t.Errorf("call %d of process %d", n.Nr, n.Int(0))
				}
				return test.answer
			})
		})
	}
}

// A descriptor of the caller's is replaced while its call waits.
func TestReplace(t *testing.T) {
	var sent atomic.Int64
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pipe[1])
	null, err := unix.Open(os.DevNull, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(null)
	filtered(t, func() {
		do([7]uint64{unix.SYS_PIDFD_SEND_SIGNAL, uint64(pipe[0]), 0, 0, 0})
		var st, want unix.Stat_t
		if err := errors.Join(unix.Fstat(pipe[0], &st), unix.Fstat(null, &want)); err != nil || st.Rdev != want.Rdev || st.Ino != want.Ino {
			t.Errorf("the descriptor is %v of device %d, want %d: %v", st.Mode, st.Rdev, want.Rdev, err)
		}
		flags, err := unix.FcntlInt(uintptr(pipe[0]), unix.F_GETFD, 0)
		if err != nil || flags != unix.FD_CLOEXEC {
			t.Errorf("its flags are %d, %v", flags, err)
		}
	}, &sent, func(l *seccomp.Listener, n seccomp.Notification) seccomp.Answer {
		if err := l.Replace(n.ID, int(n.Int(0)), null, true); err != nil {
			t.Error(err)
		}
		return seccomp.Answer{Errno: mark}
	})
	unix.Close(pipe[0])
}

// A chain of filters has one listener.
func TestTaken(t *testing.T) {
	var sent atomic.Int64
	filtered(t, func() {
		if _, err := seccomp.Install(); !errors.Is(err, seccomp.ErrTaken) {
			t.Errorf("a second listener: %v", err)
		}
	}, &sent, marks)
}

// With the listener closed calls are ENOSYS, those that wait with them.
func TestClosed(t *testing.T) {
	listeners, done := make(chan int), make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			t.Error(err)
		}
		fd, err := seccomp.Install()
		if err != nil {
			t.Error(err)
		}
		listeners <- fd
		for range 2 {
			if errno := do([7]uint64{unix.SYS_KILL, seccomp.MaxPID + 1, 0}); errno != unix.ENOSYS {
				t.Errorf("kill: %v", errno)
			}
		}
	}()
	l, err := seccomp.NewListener(<-listeners)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Receive(); err != nil {
		t.Error(err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	<-done
}
