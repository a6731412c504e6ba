package main

import (
	"bytes"
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

	"github.com/aggrfs/aggrfs/test/cluster"
)

// Deadlines for the server to take connections and to end.
const (
	upDeadline   = 10 * time.Second
	downDeadline = 10 * time.Second
)

// A server is a running aggrfs serve.
type server struct {
	aggrfs string // the program
	socket string
	cmd    *exec.Cmd
	ended  chan error
	log    bytes.Buffer // what it logs; read once it has ended
}

// startServer writes a configuration into the cluster's directory and serves it.
func startServer(ctx context.Context, aggrfs string, nodes *cluster.Cluster) (*server, error) {
	s := &server{aggrfs: aggrfs, socket: filepath.Join(nodes.Dir, "aggrfs.sock"), ended: make(chan error, 1)}
	config := filepath.Join(nodes.Dir, "aggrfs.yaml")
	if err := os.WriteFile(config, []byte(configuration(s.socket, nodes)), 0o644); err != nil {
		return nil, err
	}
	s.cmd = exec.Command(aggrfs, "serve", "--config", config)
	s.cmd.Stdout, s.cmd.Stderr = &s.log, &s.log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { s.ended <- s.cmd.Wait() }() // stop takes it
	if err := s.awaitUp(ctx); err != nil {
		s.stop()
		return nil, fmt.Errorf("%w\n%s", err, s.log.String())
	}
	return s, nil
}

func configuration(socket string, nodes *cluster.Cluster) string {
	var b strings.Builder
	fmt.Fprintf(&b, "version: 1\nlisten: [%q]\nstate: %q\nhead: head\nnodes:\n",
		"unix:"+socket, filepath.Join(nodes.Dir, "gpids.json"))
	for _, n := range nodes.Nodes {
		fmt.Fprintf(&b, "  - {nodes: %s, address: %q}\n", n.Name, n.Address)
	}
	return b.String()
}

func (s *server) awaitUp(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, upDeadline)
	defer cancel()
	var d net.Dialer
	for {
		conn, err := d.DialContext(ctx, "unix", s.socket)
		if err == nil {
			return conn.Close()
		}
		select {
		case ended := <-s.ended:
			s.ended <- ended
			return fmt.Errorf("aggrfs serve has ended: %v", ended)
		case <-ctx.Done():
			return fmt.Errorf("aggrfs serve does not answer: %w", err)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// stop ends the server and waits for it.
func (s *server) stop() error {
	s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case err := <-s.ended:
		if err != nil {
			return fmt.Errorf("aggrfs serve: %w\n%s", err, s.log.String())
		}
		return nil
	case <-time.After(downDeadline):
		s.cmd.Process.Kill()
		<-s.ended
		return errors.New("aggrfs serve did not end when told to and was killed\n" + s.log.String())
	}
}
