package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// The users of the checks, besides root.
const (
	ann = 1001
	bob = 1002
	eve = 1003 // who sees all processes, and reads what the kernel lets her read
)

// mainConfig is the front end of most checks. Its time-outs are long: nothing hangs
// there, and the machine may be slow.
const mainConfig = `version: 1
listen: ["unix:/run/main.sock", "tcp:127.0.0.1:5640"]
insecure: true
state: /run/main.json
head: head
proc: /native
native: /native
cache: 10s
timeouts: {connect: 20s, read: 20s, sweep: 20s}
views:
  - {users: ann, nodes: "head,n1"}
  - {users: bob, nodes: n1}
  - {users: eve, nodes: all, processes: all}
nodes:
  - {nodes: n1, address: "unix:/run/n1.sock"}
`

// A workload are processes that do nothing, by user.
type workload map[int][]int

// serve starts the workload, a leaf and a front end. The head is this machine, and
// n1 is this machine again: each process is there twice, as PID and as 10000000+PID.
func (g *guest) serve(c *check) {
	g.pids = make(workload)
	for i := range 24 {
		uid := []int{0, ann, bob, eve}[i%4]
		cmd := as(c, uid, "/bin/sleep", fmt.Sprint(1000000+i))
		if i%5 == 4 { // with a child
			cmd = as(c, uid, "/bin/sh", "-c", fmt.Sprintf("sleep %d & wait", 1000000+i))
		}
		// Not the check's context, which ends with it.
		cmd = &exec.Cmd{Path: cmd.Path, Args: cmd.Args, SysProcAttr: cmd.SysProcAttr}
		c.must(cmd.Start())
		g.pids[uid] = append(g.pids[uid], cmd.Process.Pid)
	}
	g.manyFiles(c)
	start(c, "n1", "/bin/procsrv", "--proc", native, "--listen", "unix:/run/n1.sock")
	startServer(c, "main", mainConfig, 2)
}

// entries is how many files one process has open.
const entries = 5000

// manyFiles starts the process whose fd/ is a large directory.
func (g *guest) manyFiles(c *check) {
	cmd := exec.Command("/init", "fds", strconv.Itoa(entries))
	out, err := cmd.StdoutPipe()
	c.must(err)
	c.must(cmd.Start())
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		c.fatalf("a process with %d files: %q, %v", entries, line, err)
	}
	g.fds = cmd.Process.Pid
}

// startServer starts a front end on /run/NAME.sock, and waits until all of its nodes
// are up, the head among them.
func startServer(c *check, name, config string, nodes int) *exec.Cmd {
	path := "/run/" + name + ".yaml"
	c.must(os.WriteFile(path, []byte(config), 0o600))
	cmd := start(c, name, "/bin/aggrfs", "serve", "--config", path)
	c.eventually(name+" knows its nodes", 30*time.Second, func() bool {
		out, _ := exec.CommandContext(c.ctx, "aggrfs", "nodes", "--server", "unix:/run/"+name+".sock").Output()
		return strings.Count(string(out), " up ") == nodes
	})
	return cmd
}

// A dialect is one of 9P that the kernel's client speaks.
type dialect struct {
	name    string
	options string // of the mount
	users   bool   // it carries who is asking
}

// dialects are those that everything is tried with. 9P2000 knows neither symbolic
// links nor numbers of users: to the kernel all files are the default user's.
var dialects = []dialect{
	{name: "9P2000.L", options: "version=9p2000.L", users: true},
	{name: "9P2000", options: "version=9p2000,dfltuid=0,dfltgid=0"},
}

// A way is how the kernel's client reaches the server.
type way struct {
	name    string
	source  string
	options string
	uid     int // who runs the tools: root sees everything, others less, which takes less time
}

var ways = []way{
	{name: "unix", source: "/run/main.sock", options: "trans=unix"},
	{name: "tcp", source: "127.0.0.1", options: "trans=tcp,port=5640", uid: ann},
}

// mount mounts the tree for the time of the check.
func mount(c *check, d dialect, w way, flags uintptr, options string) (dir string, unmount func()) {
	dir, err := os.MkdirTemp("/mnt", "")
	c.must(err)
	c.must(os.Chmod(dir, 0o755))
	data := d.options + "," + w.options + ",cache=none," + options
	if err := unix.Mount(w.source, dir, "9p", flags, data); err != nil {
		c.fatalf("mount -t 9p -o %s %s %s: %v", data, w.source, dir, err)
	}
	return dir, func() {
		if err := unix.Unmount(dir, 0); err != nil {
			c.errorf("umount: %v", err)
			unix.Unmount(dir, unix.MNT_DETACH)
		}
	}
}
