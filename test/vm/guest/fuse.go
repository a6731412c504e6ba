package main

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// The road of aggrfs exec, on a kernel that has not all that it makes use of on newer ones: a FUSE
// device that was opened in a user namespace cannot be cloned, nor requests be delivered again.

// returningConfig is a front end that comes and goes. What is asked of a node that is stopped takes long.
const returningConfig = `version: 1
listen: ["unix:/run/returning.sock"]
state: /run/returning.json
head: head
proc: /native
native: /native
timeouts: {connect: 20s, read: 20s, sweep: 20s}
views:
  - {users: ann, nodes: all}
nodes:
  - {nodes: n3, address: "unix:/run/n3.sock"}
`

// execAs is aggrfs exec as a user, on what that server serves.
func execAs(c *check, uid int, server string, argv ...string) *exec.Cmd {
	return as(c, uid, append([]string{"/bin/aggrfs", "exec", "--server", "unix:/run/" + server + ".sock", "--"}, argv...)...)
}

// exec runs ps on the tree, as root and as a user.
func (g *guest) exec(c *check) {
	c.must(os.Chmod("/dev/fuse", 0o666)) // as udev does
	for _, uid := range []int{0, ann} {
		var shown []int
		for _, field := range strings.Fields(output(c, execAs(c, uid, "main", "ps", "-eo", "pid="))) {
			pid, err := strconv.Atoi(field)
			c.must(err)
			shown = append(shown, pid)
		}
		for owner, pids := range g.pids {
			for _, pid := range pids {
				for _, pid := range []int{pid, 10_000_000 + pid} {
					if is, must := slices.Contains(shown, pid), uid == 0 || owner == uid; is != must {
						c.errorf("uid %d, process %d of %d: shown %v", uid, pid, owner, is)
					}
				}
			}
		}
		if len(shown) < 2*len(g.pids[uid]) {
			c.errorf("uid %d: %d processes", uid, len(shown))
		}
		c.notef("uid %d: %d processes;", uid, len(shown))
	}
}

// follow says when the tree begins to be read, and to fail, until there is /tmp/over.
const follow = `was=; while [ ! -e /tmp/over ]; do
	now=ill; cat /proc/cluster/nodes >/tmp/follow.$$ 2>/dev/null && [ -s /tmp/follow.$$ ] && now=well
	[ $now = "$was" ] || echo $now
	was=$now
done`

// outlive kills the server while programs read through exec, root's and a user's, one of them in a
// request: all get an error in time, and go on with the next server.
func (g *guest) outlive(c *check) {
	defer os.Remove("/tmp/over")
	c.must(os.Chmod("/tmp", 0o1777))
	leaf := start(c, "n3", "/bin/procsrv", "--proc", native, "--listen", "unix:/run/n3.sock")
	defer leaf.Process.Kill()
	server := startServer(c, "returning", returningConfig, 2)
	defer func() { server.Process.Kill() }()
	running := func(uid int, log, script string) (says func() []string, ended chan error) {
		cmd := execAs(c, uid, "returning", "/bin/sh", "-c", script)
		f, err := os.Create("/run/" + log + ".log")
		c.must(err)
		defer f.Close()
		cmd.Stdout, cmd.Stderr = f, f
		c.must(cmd.Start())
		ended = make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		return func() []string {
			text, err := os.ReadFile(f.Name())
			c.must(err)
			return strings.Fields(string(text))
		}, ended
	}
	users := []int{0, ann}
	var follows []func() []string
	var overs []chan error
	for _, uid := range users {
		says, ended := running(uid, fmt.Sprintf("follow%d", uid), follow)
		follows, overs = append(follows, says), append(overs, ended)
	}
	last := func(i int) string {
		if all := follows[i](); len(all) > 0 {
			return all[len(all)-1]
		}
		return ""
	}
	all := func(what, state string) {
		for i, uid := range users {
			c.eventually(fmt.Sprintf("uid %d, %s", uid, what), 40*time.Second, func() bool { return last(i) == state })
		}
	}
	for round := range 2 {
		all("the tree is read", "well")
		c.must(leaf.Process.Signal(syscall.SIGSTOP))
		var stuck []func() []string
		for _, uid := range users {
			says, _ := running(uid, fmt.Sprintf("stuck%d.%d", uid, round), "echo asks; cat /proc/nodes/n3/meminfo >/dev/null 2>&1; echo ended")
			stuck = append(stuck, says)
		}
		for i, uid := range users {
			c.eventually(fmt.Sprintf("uid %d asks", uid), 40*time.Second, func() bool { return slices.Contains(stuck[i](), "asks") })
		}
		time.Sleep(time.Second) // it has asked then, or it asks nobody: both are errors
		for i, uid := range users {
			if slices.Contains(stuck[i](), "ended") {
				c.errorf("uid %d: a node that is stopped answers", uid)
			}
		}
		c.must(server.Process.Signal(syscall.SIGKILL))
		server.Wait()
		killed := time.Now()
		for i, uid := range users {
			c.eventually(fmt.Sprintf("uid %d, in a request of the server that was killed", uid), 15*time.Second, func() bool { return slices.Contains(stuck[i](), "ended") })
			c.notef("uid %d: freed after %.1f s;", uid, time.Since(killed).Seconds())
		}
		all("it is told that there is no server", "ill")
		c.must(leaf.Process.Signal(syscall.SIGCONT))
		server = startServer(c, "returning", returningConfig, 2)
	}
	all("the tree is read again", "well")
	c.must(os.WriteFile("/tmp/over", nil, 0o644))
	for i, uid := range users {
		select {
		case <-overs[i]:
		case <-time.After(20 * time.Second):
			c.errorf("uid %d: exec does not end:\n%s", uid, waiting())
		}
	}
}
