package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"github.com/aggrfs/aggrfs/test/cluster/control"
	"github.com/aggrfs/aggrfs/test/cluster/survey"
	"golang.org/x/sys/unix"
)

// threads is how many threads of its own a RoleThreads process has.
const threads = 4

// play is a process of the workload: it does nothing for long.
func play(role string) {
	switch role {
	case control.RoleNasty:
		rename(fmt.Sprintf("/proc/%d/comm", os.Getpid()), control.NastyName)
	case control.RoleThreads:
		for i := range threads {
			go func() {
				runtime.LockOSThread()
				rename(fmt.Sprintf("/proc/self/task/%d/comm", unix.Gettid()), fmt.Sprintf("solver/%d", i))
				unix.Pause()
			}()
		}
	case control.RoleUndumped:
		check(unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0))
	case control.RoleZombie:
		check(exec.Command("true").Start())
	case control.RoleBoxed:
		box()
	case control.RoleSurvey:
		answer(func(r survey.Request) any { return survey.Take(r) })
		return
	case control.RoleRoam:
		answer(func(r survey.Roam) any { return r.Run() })
		return
	}
	time.Sleep(1000 * time.Hour)
}

// box starts the same program in a user namespace: as who it is, or, from root,
// as the user whose number is the last argument. The namespace is its maker's.
func box() {
	if os.Getenv("BOXED") != "" {
		return
	}
	id := os.Getuid()
	attr := &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER}
	if id == 0 {
		n, err := strconv.Atoi(os.Args[len(os.Args)-1])
		check(err)
		id = n
		attr.Credential = &syscall.Credential{Uid: uint32(id), Gid: uint32(id)}
		attr.GidMappingsEnableSetgroups = true
	}
	attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: id, HostID: id, Size: 1}}
	attr.GidMappings = attr.UidMappings
	cmd := exec.Command("/proc/self/exe")
	cmd.Args, cmd.Env, cmd.SysProcAttr = os.Args, append(os.Environ(), "BOXED=1"), attr
	check(cmd.Start())
}

// answer prints what comes of the request in the environment.
func answer[T any](to func(T) any) {
	var r T
	check(json.Unmarshal([]byte(os.Getenv(control.SurveyVariable)), &r))
	check(json.NewEncoder(os.Stdout).Encode(to(r)))
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "nodeinit:", err)
		os.Exit(1)
	}
}

func rename(comm, name string) {
	check(os.WriteFile(comm, []byte(name), 0))
}
