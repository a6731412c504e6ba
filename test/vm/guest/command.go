package main

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// withoutClient is "aggrfs mount --type 9p" before the modules are loaded.
func withoutClient(c *check) {
	c.must(os.Mkdir("/mnt/none", 0o755))
	out, err := exec.CommandContext(c.ctx, "aggrfs", "mount", "--type", "9p", "/mnt/none").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "no 9P client") || !strings.Contains(string(out), "FUSE") {
		c.errorf("%v: %s", err, out)
	}
}

// A mounting is an "aggrfs mount --type 9p" that goes on.
type mounting struct {
	c    *check
	dir  string
	cmd  *exec.Cmd
	done chan error
}

// mountBy starts the command and waits for its mount.
func mountBy(c *check, server string, args ...string) *mounting {
	dir, err := os.MkdirTemp("/mnt", "by")
	c.must(err)
	c.must(os.Chmod(dir, 0o755))
	m := &mounting{c: c, dir: dir, done: make(chan error, 1)}
	m.cmd = start(c, "mount", append([]string{"/bin/aggrfs", "mount", "--type", "9p", "--server", "unix:/run/" + server + ".sock", dir}, args...)...)
	go func() { m.done <- m.cmd.Wait() }()
	c.eventually("the mount", 10*time.Second, func() bool { return mounted(dir) != "" })
	return m
}

// ends waits for the end of the command, and of the mount.
func (m *mounting) ends(how string) error {
	select {
	case err := <-m.done:
		if mounted(m.dir) != "" {
			m.c.errorf("%s: it ended and left the mount", how)
		}
		return err
	case <-time.After(10 * time.Second):
		m.cmd.Process.Kill()
		m.c.fatalf("%s: it does not end", how)
		return nil
	}
}

// mountCommand is "aggrfs mount --type 9p" from its mount to its end.
func (g *guest) mountCommand(c *check) {
	m := mountBy(c, "main")
	line := mounted(m.dir)
	for _, option := range []string{" 9p ", "ro,", "nosuid,", "nodev,", "noexec,", "msize=65536", "trans=unix", "access=0"} {
		if !strings.Contains(line, option) {
			c.errorf("%q is not in %q", option, line)
		}
	}
	if _, err := os.ReadFile(m.dir + "/cluster/nodes"); err != nil {
		c.errorf("root: %v", err)
	}
	if out, err := as(c, ann, "cat", m.dir+"/cluster/nodes").CombinedOutput(); err == nil {
		c.errorf("a user reads what is root's alone: %s", out)
	}
	c.must(m.cmd.Process.Signal(syscall.SIGTERM))
	if err := m.ends("SIGTERM"); err != nil {
		c.errorf("SIGTERM: %v", err)
	}

	m = mountBy(c, "main", "--allow-other")
	g.sees(c, m.dir, ann)
	g.sees(c, m.dir, bob)
	held, err := os.Open(m.dir + "/1/status")
	c.must(err)
	c.must(m.cmd.Process.Signal(syscall.SIGINT))
	if err := m.ends("SIGINT while a file is open"); err != nil {
		c.errorf("SIGINT while a file is open: %v", err)
	}
	c.must(held.Close())

	m = mountBy(c, "main", "--nodes", "n1")
	first := strconv.Itoa(g.pids[ann][0])
	if _, err := os.Stat(m.dir + "/" + global(first)); err != nil {
		c.errorf("--nodes n1: %v", err)
	}
	if _, err := os.Stat(m.dir + "/" + first); err == nil {
		c.errorf("--nodes n1 has processes of the head")
	}
	c.must(unix.Unmount(m.dir, 0))
	if err := m.ends("umount"); err != nil {
		c.errorf("umount: %v", err)
	}

	out, err := exec.CommandContext(c.ctx, "aggrfs", "mount", "--type", "9p", "--server", "unix:/run/none.sock", "/mnt").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "running server") {
		c.errorf("without a server: %v: %s", err, out)
	}

	server := startServer(c, "passing", serverAlone("passing"), 1)
	m = mountBy(c, "passing")
	c.must(server.Process.Kill())
	server.Wait()
	if err := m.ends("the server's end"); err == nil {
		c.errorf("the server's end is no error")
	}
	if log, _ := os.ReadFile("/run/mount.log"); !strings.Contains(string(log), "the server at /run/passing.sock has ended") {
		c.errorf("the server's end is not told: %s", log)
	}
}

// serverAlone is the configuration of a front end without nodes.
func serverAlone(name string) string {
	return "version: 1\nlisten: [\"unix:/run/" + name + ".sock\"]\nhead: head\nproc: /native\nnative: /native\n"
}

// documented mounts as the lines for /etc/fstab in docs/mount.md say, with the
// socket and the addresses of here.
func documented(c *check) {
	text, err := os.ReadFile("/mount.md")
	c.must(err)
	here := strings.NewReplacer("/run/aggrfs/aggrfs.sock", "/run/main.sock", " head ", " 127.0.0.1 ")
	lines := 0
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(here.Replace(line))
		if len(f) != 6 || f[2] != "9p" {
			continue
		}
		lines++
		c.must(os.WriteFile("/etc/fstab", []byte(strings.Join(f, " ")+"\n"), 0o644))
		c.must(os.MkdirAll(f[1], 0o755))
		output(c, exec.CommandContext(c.ctx, "mount", f[1]))
		mount := mounted(f[1])
		for _, option := range []string{"ro,", "nosuid,", "nodev,", "noexec,"} {
			if !strings.Contains(mount, option) {
				c.errorf("%q makes no %q: %q", line, option, mount)
			}
		}
		if _, err := os.ReadFile(f[1] + "/cluster/nodes"); err != nil {
			c.errorf("mounted as %q: %v", line, err)
		}
		output(c, exec.CommandContext(c.ctx, "umount", f[1]))
	}
	if lines < 2 {
		c.errorf("docs/mount.md has %d lines for /etc/fstab with 9p", lines)
	}
}
