package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/aggrfs/aggrfs/pkg/ninep"
	"github.com/aggrfs/aggrfs/test/peers/stage"
)

// serve is what the other process does: "peers serve WHAT SOCKET".
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

// apart compares servers in processes of their own, all of them asked by the
// project's client, in the way that is right for any server.
func apart(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "aggrfs-peers-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	self, err := os.Executable()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	var running []*exec.Cmd
	defer func() {
		cancel()
		for _, cmd := range running {
			cmd.Wait()
		}
	}()
	start := func(argv ...string) error {
		cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
		cmd.Stderr = os.Stderr
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
		cmd.WaitDelay = 5 * time.Second
		if err := cmd.Start(); err != nil {
			return err
		}
		running = append(running, cmd)
		return nil
	}
	exported, err := stageFiles(dir)
	if err != nil {
		return err
	}
	client := func(what, aname string, argv ...string) (*ourClient, error) {
		socket := filepath.Join(dir, what)
		if len(argv) == 0 {
			argv = []string{self, "serve", what, socket}
		}
		if err := start(argv...); err != nil {
			return nil, err
		}
		conn, err := dialSoon(ctx, socket)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", what, err)
		}
		return newOurClient(ctx, conn, ninep.ClientConfig{Foreign: true, Msize: 64 << 10}, aname)
	}
	ours, err := client("ours", "")
	if err != nil {
		return err
	}
	defer ours.close()
	p9, err := client("p9", "")
	if err != nil {
		return err
	}
	defer p9.close()
	diod, err := client("diod", exported, "diod", "-f", "-n", "-c", "/dev/null", "-L", "stderr", "-e", exported, "-l", filepath.Join(dir, "diod"))
	if err != nil {
		return err
	}
	defer diod.close()
	for _, other := range []struct {
		name string
		peer peer
	}{{"hugelgupf", p9}, {"diod", diod}} {
		against := "-2/" + other.name
		for _, figures := range []func(string, peer, peer) error{reads, files, readdir, bulk} {
			if err := figures(against, ours, other.peer); err != nil {
				return err
			}
		}
	}
	return limit("9p-limit-2", ours, func() (io.ReadWriteCloser, func(), error) {
		if err := start(self, "serve", "bare", filepath.Join(dir, "bare")); err != nil {
			return nil, nil, err
		}
		conn, err := dialSoon(ctx, filepath.Join(dir, "bare"))
		return conn, func() {}, err
	})
}

// stageFiles makes the stage as files, for servers of those.
func stageFiles(dir string) (string, error) {
	root := filepath.Join(dir, "files")
	err := os.MkdirAll(filepath.Join(root, stage.Many), 0o755)
	write := func(name string, size int) {
		err = errors.Join(err, os.WriteFile(filepath.Join(root, name), stage.Content(size), 0o644))
	}
	write(stage.Status, stage.Small)
	write(stage.Bulk, stage.Large)
	for i := range stage.Entries {
		write(filepath.Join(stage.Many, stage.Entry(i)), 0)
	}
	return root, err
}

// dialSoon connects to a socket that is about to be there.
func dialSoon(ctx context.Context, socket string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var d net.Dialer
	for {
		conn, err := d.DialContext(ctx, "unix", socket)
		if err == nil || ctx.Err() != nil {
			return conn, err
		}
		if !errors.Is(err, syscall.ENOENT) && !errors.Is(err, syscall.ECONNREFUSED) && !strings.Contains(err.Error(), "no such") {
			return nil, err
		}
		select {
		case <-ctx.Done():
		case <-time.After(10 * time.Millisecond):
		}
	}
}
