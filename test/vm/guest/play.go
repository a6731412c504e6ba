package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aggrfs/aggrfs/test/cluster/survey"
)

// play is what the program is if it is not the init.
func play(args []string) {
	if len(args) == 0 {
		fail(fmt.Errorf("this is the init of a machine of its own, see package vm"))
	}
	switch args[0] {
	case "on":
		become(args[1], args[2], args[3:])
	case "access":
		fail(unix.Access(args[1], unix.F_OK))
		fail(unix.Chdir(args[1]))
	case "fds":
		hold(args[1])
	case "survey":
		var r survey.Request
		fail(json.NewDecoder(os.Stdin).Decode(&r))
		fail(json.NewEncoder(os.Stdout).Encode(survey.Take(r)))
	case "roam":
		var r survey.Roam
		fail(json.NewDecoder(os.Stdin).Decode(&r))
		fail(json.NewEncoder(os.Stdout).Encode(r.Run()))
	}
}

// become is the command as the user, on the tree in dir. It is in a mount
// namespace of its own already.
func become(dir, uid string, argv []string) {
	fail(unix.Mount(dir, "/proc", "", unix.MS_BIND, ""))
	id, err := strconv.Atoi(uid)
	fail(err)
	fail(syscall.Setgroups(nil))
	fail(syscall.Setgid(id))
	fail(syscall.Setuid(id))
	path, err := exec.LookPath(argv[0])
	fail(err)
	fail(syscall.Exec(path, argv, os.Environ()))
}

// on is the command as the user, with the tree in dir as its /proc.
func on(c *check, dir string, uid int, argv ...string) *exec.Cmd {
	cmd := exec.CommandContext(c.ctx, "/init", append([]string{"on", dir, strconv.Itoa(uid)}, argv...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// as is the command as the user, on the native /proc.
func as(c *check, uid int, argv ...string) *exec.Cmd {
	cmd := exec.CommandContext(c.ctx, argv[0], argv[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// hold has many files open, says so, and waits.
func hold(count string) {
	n, err := strconv.Atoi(count)
	fail(err)
	most := uint64(n + 100)
	fail(unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: most, Max: most}))
	for range n {
		_, err := unix.Open("/dev/null", unix.O_RDONLY, 0)
		fail(err)
	}
	fmt.Println("ready")
	time.Sleep(1000 * time.Hour)
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "guest:", err)
		os.Exit(1)
	}
}
