package main

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/aggrfs/aggrfs/test/cluster/control"
)

// A node does what is asked for. Requests come one at a time; bury runs beside
// them.
type node struct {
	config control.Config
	ended  chan int // pids that were waited for, taken by whoever waits for one

	mu    sync.Mutex
	leaf  int          // native pid of procsrv, 0 while it does not run; guarded by mu
	await map[int]bool // pids whose end is wanted on ended; guarded by mu
}

// begin starts what the node starts with.
func (n *node) begin() control.Reply {
	for _, s := range n.config.Start {
		if _, err := spawn(s); err != nil {
			return control.Reply{Error: err.Error()}
		}
	}
	for i := range n.config.Many {
		argv := []string{"worker", fmt.Sprint(1000000 + i)}
		if _, err := spawn(control.Spawn{Path: "/usr/bin/sleep", Argv: argv}); err != nil {
			return control.Reply{Error: err.Error()}
		}
	}
	return n.do(control.Request{Op: control.OpStartLeaf})
}

func (n *node) do(r control.Request) control.Reply {
	var pid int
	var err error
	switch r.Op {
	case control.OpSpawn:
		pid, err = spawn(r.Spawn)
	case control.OpSignal:
		err = n.signal(r.PID, r.Signal)
	case control.OpStartLeaf:
		err = n.startLeaf()
	default:
		err = fmt.Errorf("unknown request %q", r.Op)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	reply := control.Reply{PID: pid, Leaf: n.leaf}
	if err != nil {
		reply.Error = err.Error()
	}
	return reply
}

func (n *node) startLeaf() error {
	n.mu.Lock() // so that bury does not see its end before its pid is known
	defer n.mu.Unlock()
	if n.leaf != 0 {
		return fmt.Errorf("procsrv runs already, as process %d", n.leaf)
	}
	log, err := os.OpenFile(control.LogPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	n.leaf, err = start(control.ProcsrvPath, append([]string{"procsrv"}, n.config.Leaf...), 0, 0, nil, log)
	return err
}

func (n *node) signal(pid int, s syscall.Signal) error {
	n.mu.Lock()
	if pid == 0 {
		pid = n.leaf
	}
	if pid == 0 {
		n.mu.Unlock()
		return fmt.Errorf("procsrv does not run")
	}
	// Whose child it is must be known before it has gone.
	wait := s == syscall.SIGKILL && (pid == n.leaf || ppid(pid) == 1)
	if wait {
		n.await = map[int]bool{pid: true}
	}
	err := syscall.Kill(pid, s)
	if err != nil {
		delete(n.await, pid)
	}
	n.mu.Unlock()
	if wait && err == nil {
		<-n.ended
	}
	return err
}

// bury waits for whatever ends below this init.
func (n *node) bury() {
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			waitForChild()
			continue
		}
		n.mu.Lock()
		if pid == n.leaf {
			n.leaf = 0
		}
		wanted := n.await[pid]
		delete(n.await, pid)
		n.mu.Unlock()
		if wanted {
			n.ended <- pid
		}
	}
}

// spawn starts a process.
func spawn(s control.Spawn) (pid int, err error) {
	path := s.Path
	if path == "" {
		path = filepath.Join("/usr/bin", s.Argv[0])
	}
	var env []string
	if s.Role != "" {
		path, env = control.InitPath, []string{control.RoleVariable + "=" + s.Role}
	}
	return start(path, s.Argv, s.UID, s.GID, env, nil)
}
