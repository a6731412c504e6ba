package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// serve is what another process does: "peers serve WHAT SOCKET".
func serve(ctx context.Context, what, socket string) error {
	l, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	defer l.Close()
	switch what {
	case "ours":
		return serveOurs(ctx, l)
	case "p9":
		go serveP9(l)
	case "bare":
		go serveBare(l)
	default:
		return fmt.Errorf("nothing is called %q", what)
	}
	<-ctx.Done()
	return nil
}

// A company are processes that serve on sockets in one directory.
type company struct {
	ctx     context.Context
	end     context.CancelFunc
	dir     string
	running []*exec.Cmd
}

func newCompany(ctx context.Context) (*company, error) {
	dir, err := os.MkdirTemp("", "aggrfs-peers-")
	ctx, cancel := context.WithCancel(ctx)
	return &company{ctx: ctx, end: cancel, dir: dir}, err
}

// close ends the processes.
func (c *company) close() {
	c.end()
	for _, cmd := range c.running {
		cmd.Wait()
	}
	os.RemoveAll(c.dir)
}

// socket is where the process of that name serves.
func (c *company) socket(what string) string { return filepath.Join(c.dir, what) }

// start starts a process that serves, this program if no other is named, and
// waits until it does.
func (c *company) start(what string, argv ...string) (*exec.Cmd, error) {
	if len(argv) == 0 {
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		argv = []string{self, "serve", what, c.socket(what)}
	}
	cmd := exec.CommandContext(c.ctx, argv[0], argv[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	c.running = append(c.running, cmd)
	conn, err := c.dial(what)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	conn.Close()
	return cmd, nil
}

// dial connects to a process that may be about to serve.
func (c *company) dial(what string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(c.ctx, 10*time.Second)
	defer cancel()
	var d net.Dialer
	for {
		conn, err := d.DialContext(ctx, "unix", c.socket(what))
		if err == nil || ctx.Err() != nil {
			return conn, err
		}
		if !errors.Is(err, syscall.ENOENT) && !errors.Is(err, syscall.ECONNREFUSED) {
			return nil, err
		}
		select {
		case <-ctx.Done():
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// resident is the memory of a process, in bytes (VmRSS of proc(5)).
func resident(pid int) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(text), "VmRSS:")
	var kb int64
	_, err = fmt.Sscan(rest, &kb)
	return kb << 10, err
}
