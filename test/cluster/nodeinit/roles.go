package main

import (
	"fmt"
	"os"
	"runtime"
	"time"

	"github.com/aggrfs/aggrfs/test/cluster/control"
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
	}
	time.Sleep(1000 * time.Hour)
}

func rename(comm, name string) {
	if err := os.WriteFile(comm, []byte(name), 0); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
