package actor

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/aggrfs/aggrfs/internal/control"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

func TestMain(m *testing.M) {
	MaybeRun()
	goleak.VerifyTestMain(m)
}

func action(t *testing.T, words ...string) control.Action {
	t.Helper()
	a, err := control.ParseAction(words)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestMessages(t *testing.T) {
	j := Job{Action: action(t, "rlimit", "nofile", "1:unlimited"), PID: 7, TID: 9}
	id, deadline, got, err := parseJob(string(appendJob(nil, 3, 4, j)))
	if err != nil || id != 3 || deadline != 4 || !reflect.DeepEqual(got, j) {
		t.Errorf("%d, %d, %+v, %v", id, deadline, got, err)
	}
	who := vfs.Identity{UID: 1001, GID: 5, Groups: []uint32{6, 7}}
	uid, gid, groups, err := ids(argsOf(who))
	if err != nil || uid != 1001 || gid != 5 || !reflect.DeepEqual(groups, []int{6, 7}) {
		t.Errorf("%d, %d, %v, %v", uid, gid, groups, err)
	}
	for _, args := range [][]string{{}, {"0", "0", ""}, {"4294967295", "1", ""}, {"1", "4294967295", ""}, {"1", "1", "4294967295"}, {"-1", "1", ""}, {"1", "1", "x"}, {"1", "1"}} {
		if _, _, _, err := ids(args); err == nil {
			t.Errorf("%q is taken", args)
		}
	}
}

// sleeper is a process of a user, and its directory.
func sleeper(t *testing.T, uid uint32) (pid, dir int) {
	t.Helper()
	cmd := exec.Command("sleep", "1000")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	dir, err := unix.Open("/proc/"+strconv.Itoa(cmd.Process.Pid), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(dir) })
	return cmd.Process.Pid, dir
}

// TestPutBack: what a number was set to that has another process by now is put back.
func TestPutBack(t *testing.T) {
	victim, _ := sleeper(t, 1001)
	dead, dir := sleeper(t, 1001)
	gets := 0
	s := setting{
		get: settings["ioprio"].get,
		set: func(id int, args []string) error {
			// At the first call it ends, and its number is the victim's.
			if gets++; gets == 1 {
				if err := syscall.Kill(dead, syscall.SIGKILL); err != nil {
					t.Fatal(err)
				}
				var status syscall.WaitStatus
				if _, err := syscall.Wait4(dead, &status, 0, nil); err != nil {
					t.Fatal(err)
				}
			}
			return settings["ioprio"].set(victim, args)
		},
	}
	before, err := settings["ioprio"].get(victim, nil)
	if err != nil {
		t.Fatal(err)
	}
	j := Job{Action: action(t, "ioprio", "idle"), PID: dead, Dir: dir}
	if err := set(j, dead, s); err != syscall.ESRCH {
		t.Errorf("%v", err)
	}
	if after, err := settings["ioprio"].get(victim, nil); err != nil || after != before || gets != 2 {
		t.Errorf("the victim has %s, and had %s; set %d times, %v", after, before, gets, err)
	}
	// And nothing is done at all where it had ended before.
	if err := set(j, victim, s); err != syscall.ESRCH || gets != 2 {
		t.Errorf("%v, set %d times", err, gets)
	}
}

// TestDeadline: what comes too late is not done.
func TestDeadline(t *testing.T) {
	pid, dir := sleeper(t, 0)
	j := Job{Action: action(t, "kill"), PID: pid, Dir: dir}
	if a := carryOut(string(appendJob(nil, 1, monotonic()-1, j)), []int{dir}); a.Errno != syscall.ETIMEDOUT {
		t.Errorf("%+v", a)
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil || strings.Contains(string(b), "Z (zombie)") {
		t.Errorf("it was done: %v", err)
	}
}

// TestManyUsers: more users than there may be actors act, one after the other and at once.
func TestManyUsers(t *testing.T) {
	p, err := Start()
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	pid, dir := sleeper(t, 2001)
	probe := Job{Action: action(t, "probe"), PID: pid, Dir: dir}
	var all sync.WaitGroup
	for uid := range uint32(8) {
		all.Go(func() {
			for range 20 {
				want := syscall.EPERM
				if uid == 1 {
					want = 0
				}
				if a := p.Do(ctx, vfs.Identity{UID: 2000 + uid, GID: 2000}, probe); a.Errno != want {
					t.Errorf("user %d: %+v, want %v", 2000+uid, a, want)
				}
			}
		})
	}
	all.Wait()
}

// TestRootsPlace: users whose actors do not end, all that there may be, do not keep root from acting.
func TestRootsPlace(t *testing.T) {
	p, err := Start()
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	p.mu.Lock()
	for i := range uint64(maxActors) {
		p.alive[1<<32+i] = 3000 + uint32(i)/MaxPerUser
	}
	p.mu.Unlock()
	pid, dir := sleeper(t, 2001)
	probe := Job{Action: action(t, "probe"), PID: pid, Dir: dir}
	if a := p.Do(ctx, vfs.Identity{UID: 2001, GID: 2001}, probe); a.Errno != syscall.EAGAIN {
		t.Errorf("a user: %+v", a)
	}
	if a := p.Do(ctx, vfs.Root, probe); a.Errno != 0 {
		t.Errorf("root: %+v", a)
	}
}
