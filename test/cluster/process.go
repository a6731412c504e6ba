package cluster

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/aggrfs/aggrfs/test/cluster/control"
)

// Command is a command that runs on the node, as root, in all its namespaces:
// the native ps, say, to compare with. Its parent is not on the node. The end
// of the context ends it for the caller; on the node it may run on until Close.
func (n *Node) Command(ctx context.Context, argv ...string) *exec.Cmd {
	args := []string{"--target", strconv.Itoa(n.InitPID), "--mount", "--uts", "--pid", "--time", "--"}
	cmd := exec.CommandContext(ctx, "nsenter", append(args, argv...)...)
	cmd.WaitDelay = time.Second
	return cmd
}

// Spawn starts a process on the node as a child of its init and returns its
// native pid.
func (n *Node) Spawn(p Process) (pid int, err error) {
	var r control.Reply
	err = n.ask(control.Request{Op: control.OpSpawn, Spawn: p}, &r)
	return r.PID, err
}

// Signal sends a signal to a process of the node by its native pid. After
// SIGKILL to a child of the init it returns when that has gone.
func (n *Node) Signal(pid int, s syscall.Signal) error {
	return n.ask(control.Request{Op: control.OpSignal, PID: pid, Signal: s}, nil)
}

// Pause stops procsrv: it keeps its connections and answers nothing.
func (n *Node) Pause() error { return n.Signal(0, syscall.SIGSTOP) }

// Resume has procsrv go on.
func (n *Node) Resume() error { return n.Signal(0, syscall.SIGCONT) }

// KillLeaf kills procsrv with SIGKILL and returns when it has gone.
func (n *Node) KillLeaf() error { return n.Signal(0, syscall.SIGKILL) }

// StartLeaf starts procsrv again and returns when it takes connections.
func (n *Node) StartLeaf() error {
	if err := n.ask(control.Request{Op: control.OpStartLeaf}, nil); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), callDeadline)
	defer cancel()
	return n.awaitLeaf(ctx)
}

// LeafPID is the native pid of procsrv, 0 while it does not run as far as the
// last request showed.
func (n *Node) LeafPID() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.leaf
}

func (n *Node) ask(r control.Request, reply *control.Reply) error {
	ctx, cancel := context.WithTimeout(context.Background(), callDeadline)
	defer cancel()
	if err := n.exchange(ctx, r, reply); err != nil {
		return fmt.Errorf("node %s: %s: %w", n.Name, r.Op, err)
	}
	return nil
}

// HostPID is what the host calls the process of a native pid.
func (n *Node) HostPID(native int) (int, error) {
	namespace, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid_for_children", n.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	files, err := filepath.Glob("/proc/[0-9]*/status")
	if err != nil {
		return 0, err
	}
	for _, file := range files {
		dir := filepath.Dir(file)
		if ns, _ := os.Readlink(dir + "/ns/pid"); ns != namespace {
			continue
		}
		status, _ := os.ReadFile(file)
		if innermost(string(status)) == native {
			return strconv.Atoi(filepath.Base(dir))
		}
	}
	return 0, fmt.Errorf("node %s has no process %d", n.Name, native)
}

// innermost is the last number of the line NSpid, see proc_pid_status(5).
func innermost(status string) int {
	for line := range strings.Lines(status) {
		if rest, ok := strings.CutPrefix(line, "NSpid:"); ok {
			f := strings.Fields(rest)
			pid, _ := strconv.Atoi(f[len(f)-1])
			return pid
		}
	}
	return 0
}
