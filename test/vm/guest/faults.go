package main

import (
	"errors"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// faultConfig is a front end with the deadlines that it has by itself.
const faultConfig = `version: 1
listen: ["unix:/run/fault.sock"]
state: /run/fault.json
head: head
proc: /native
native: /native
nodes:
  - {nodes: n2, address: "unix:/run/n2.sock"}
`

var faultWay = way{name: "unix", source: "/run/fault.sock", options: "trans=unix"}

// The front end answers every request at its deadline, 2 s for one that goes to a
// leaf. One system call is a few requests, of which after the first the leaf is
// known to be silent. The rest is for a machine that is slow.
const (
	longestWait = 6 * time.Second  // of a process in state D, without a break
	longestRead = 12 * time.Second // of a program that reads one file
)

// hang stops a leaf while processes read through the mount: all of them get an
// answer, and none waits in the kernel for longer than the deadline.
func (g *guest) hang(c *check) {
	leaf := start(c, "n2", "/bin/procsrv", "--proc", native, "--listen", "unix:/run/n2.sock")
	startServer(c, "fault", faultConfig, 2)
	dir, unmount := mount(c, dialects[0], faultWay, 0, "access=user,msize=65536")
	defer unmount()
	meminfo := dir + "/nodes/n2/meminfo"
	c.eventually("n2 is up", 20*time.Second, func() bool {
		_, err := os.ReadFile(meminfo)
		return err == nil
	})
	held, err := os.Open(dir + "/nodes/n2/1/status")
	c.must(err)
	defer held.Close()

	c.must(leaf.Process.Signal(syscall.SIGSTOP))
	defer leaf.Process.Signal(syscall.SIGCONT)
	pid := strconv.Itoa(g.fds)
	readers := [][]string{
		{"cat", meminfo}, {"cat", dir + "/nodes/n2/1/environ"}, {"cat", dir + "/1" + "/stat"}, {"cat", dir + "/loadavg"},
		{"ls", dir}, {"ls", dir + "/nodes/n2/" + pid + "/fd"}, {"cat", dir + "/cluster/nodes"}, {"cat", meminfo},
	}
	var all sync.WaitGroup
	for _, argv := range readers {
		all.Go(func() { watch(c, argv) })
	}
	all.Wait()
	if _, err := held.Read(make([]byte, 100)); err != nil {
		c.errorf("a file that was open when the leaf stopped: %v", err)
	}

	c.must(leaf.Process.Signal(syscall.SIGCONT))
	c.eventually("n2 is back", 20*time.Second, func() bool {
		_, err := os.ReadFile(meminfo)
		return err == nil
	})
}

// watch runs a reader, and looks at the state that it is in.
func watch(c *check, argv []string) {
	cmd := exec.CommandContext(c.ctx, "/bin/busybox", argv...)
	began := time.Now()
	if err := cmd.Start(); err != nil {
		c.errorf("%v: %v", argv, err)
		return
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		cmd.Wait() // most of them fail, as they should
	}()
	var since time.Time
	longest := time.Duration(0)
	for tick := time.NewTicker(50 * time.Millisecond); ; {
		select {
		case <-ended:
			tick.Stop()
			took := time.Since(began)
			if took > longestRead || longest > longestWait {
				c.errorf("%v: ended after %v, %v of them in state D", argv, took, longest)
			}
			c.notef("%v: %.1f s, D %.1f s;", argv[len(argv)-1], took.Seconds(), longest.Seconds())
			return
		case <-tick.C:
		}
		switch {
		case state(native+"/"+strconv.Itoa(cmd.Process.Pid)) != "D":
			since = time.Time{}
		case since.IsZero():
			since = time.Now()
		default:
			longest = max(longest, time.Since(since))
		}
	}
}

// kill kills the server while processes read through the mount: what waits and what
// comes fails at once, and the mount can be taken away. The error is EIO, or, for
// what was on its way when the server ended, ECONNRESET.
func (g *guest) kill(c *check) {
	server := startServer(c, "doomed", serverAlone("doomed"), 1)
	dir, unmount := mount(c, dialects[0], way{source: "/run/doomed.sock", options: "trans=unix"}, 0, "access=user,msize=65536")
	defer unmount()
	held, err := os.Open(dir + "/1/status")
	c.must(err)
	defer held.Close()

	// A server that is stopped has readers waiting; they are freed by its end.
	c.must(server.Process.Signal(syscall.SIGSTOP))
	stuck := make(chan error, 1)
	go func() {
		_, err := os.ReadFile(dir + "/1/environ")
		stuck <- err
	}()
	select {
	case err := <-stuck:
		c.errorf("a stopped server answers: %v", err)
	case <-time.After(300 * time.Millisecond):
	}
	c.must(server.Process.Signal(syscall.SIGKILL))
	killed := time.Now()
	server.Wait()
	lost := func(err error) bool { return errors.Is(err, syscall.EIO) || errors.Is(err, syscall.ECONNRESET) }
	soon := func(what string, f func() error) {
		start := time.Now()
		if err := f(); !lost(err) || time.Since(start) > time.Second {
			c.errorf("%s: %v after %v, not EIO at once", what, err, time.Since(start))
		}
	}
	select {
	case err := <-stuck:
		if !lost(err) {
			c.errorf("a reader that waits: %v", err)
		}
		c.notef("a reader that waits ends after %.2f s", time.Since(killed).Seconds())
	case <-time.After(5 * time.Second):
		c.errorf("a reader that waits does not end:\n%s", waiting())
	}
	soon("a file that is open", func() error { _, err := held.Read(make([]byte, 10)); return err })
	soon("open", func() error { _, err := os.ReadFile(dir + "/loadavg"); return err })
	soon("stat", func() error { _, err := os.Stat(dir + "/1"); return err })
	soon("list", func() error { _, err := os.ReadDir(dir); return err })
	soon("statfs", func() error { var st unix.Statfs_t; return unix.Statfs(dir, &st) })
}
