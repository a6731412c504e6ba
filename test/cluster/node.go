package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/aggrfs/aggrfs/test/cluster/control"
)

// A Node is one running node. Its methods may be called concurrently.
type Node struct {
	Name    string
	Root    string // its root directory, on the host
	Socket  string // where procsrv listens, on the host
	Address string // the same as an address of the configuration
	InitPID int    // its first process, as the host counts

	cmd *exec.Cmd // unshare(1), the parent of the init
	end func() error

	mu    sync.Mutex // one request at a time
	in    *os.File   // the init's standard input; guarded by mu
	out   *os.File   // and output; guarded by mu
	reply *json.Decoder
	leaf  int // native pid of procsrv, 0 while it does not run; guarded by mu
}

func startNode(ctx context.Context, dir, init string, i int, o Options) (*Node, error) {
	name := fmt.Sprintf("n%d", i+1)
	root := filepath.Join(dir, name)
	if err := os.Mkdir(root, 0o755); err != nil {
		return nil, err
	}
	n := &Node{Name: name, Root: root, Socket: filepath.Join(root, "run/procsrv/procsrv.sock")}
	n.Address = "unix:" + n.Socket
	n.cmd = exec.Command("unshare", "--mount", "--uts", "--pid", "--time",
		"--boottime", strconv.Itoa(int(bootOffset(i)/time.Second)), "--fork", "--kill-child", init)
	n.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // away from the terminal's signals
	if err := n.startInit(); err != nil {
		return nil, fmt.Errorf("start node %s: %w", name, err)
	}
	err := n.begin(ctx, control.Config{
		Name: name, Root: root, Procsrv: o.ProcsrvPath, Start: o.Workload(name), Many: o.Many, Proc: o.ProcOptions,
		Leaf: append([]string{"--listen", "unix:/run/procsrv/procsrv.sock"}, o.ProcsrvArgs...),
	})
	if err != nil {
		log, _ := os.ReadFile(filepath.Join(root, control.LogPath))
		err = fmt.Errorf("start node %s: %w\n%s", name, err, log)
	}
	return n, err
}

// startInit starts the init and the goroutine that waits for it.
func (n *Node) startInit() error {
	theirIn, in, err := os.Pipe()
	if err != nil {
		return err
	}
	defer theirIn.Close()
	out, theirOut, err := os.Pipe()
	if err != nil {
		in.Close()
		return err
	}
	defer theirOut.Close()
	n.in, n.out, n.reply = in, out, json.NewDecoder(out)
	n.cmd.Stdin, n.cmd.Stdout, n.cmd.Stderr = theirIn, theirOut, os.Stderr
	if err := n.cmd.Start(); err != nil {
		in.Close()
		out.Close()
		return err
	}
	n.end = sync.OnceValue(n.stop)
	return nil
}

// begin configures the init and waits until procsrv takes connections.
func (n *Node) begin(ctx context.Context, c control.Config) error {
	ctx, cancel := context.WithTimeout(ctx, startDeadline)
	defer cancel()
	if err := n.exchange(ctx, c, nil); err != nil {
		return err
	}
	pid, err := n.HostPID(1)
	if err != nil {
		return err
	}
	n.InitPID = pid
	return n.awaitLeaf(ctx)
}

// awaitLeaf waits until procsrv takes connections.
func (n *Node) awaitLeaf(ctx context.Context) error {
	var d net.Dialer
	for {
		conn, err := d.DialContext(ctx, "unix", n.Socket)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("procsrv does not answer: %w", err)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// exchange sends a message to the init and reads the reply.
func (n *Node) exchange(ctx context.Context, message any, r *control.Reply) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(callDeadline)
	}
	n.in.SetWriteDeadline(deadline)
	n.out.SetReadDeadline(deadline)
	var reply control.Reply
	if err := json.NewEncoder(n.in).Encode(message); err != nil {
		return fmt.Errorf("the init has ended: %w", err)
	}
	if err := n.reply.Decode(&reply); err != nil {
		return fmt.Errorf("the init has ended or hangs: %w", err)
	}
	n.leaf = reply.Leaf
	if reply.Error != "" {
		return fmt.Errorf("init: %s", reply.Error)
	}
	if r != nil {
		*r = reply
	}
	return nil
}

// stop ends the node and waits until its processes have ended.
func (n *Node) stop() error {
	n.mu.Lock()
	n.in.Close()
	n.mu.Unlock()
	kill := time.AfterFunc(endDeadline, func() { n.cmd.Process.Kill() }) // takes the init along
	defer kill.Stop()
	io.Copy(io.Discard, n.out) // until the init has gone
	n.out.Close()
	n.cmd.Wait() // its status says nothing: an init that ends is what was asked for
	return nil
}
