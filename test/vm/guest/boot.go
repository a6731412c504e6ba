package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// native is where a second procfs is mounted: it is what is served, and what self
// and all that is not merged is found in.
const native = "/native"

// boot makes a system of what the kernel starts with.
func (g *guest) boot(c *check) {
	for _, m := range []struct{ fstype, dir string }{
		{"proc", "/proc"}, {"proc", native}, {"devtmpfs", "/dev"}, {"tmpfs", "/run"}, {"tmpfs", "/tmp"}, {"tmpfs", "/mnt"},
	} {
		c.must(os.MkdirAll(m.dir, 0o755))
		if err := unix.Mount(m.fstype, m.dir, m.fstype, 0, ""); err != nil && err != unix.EBUSY {
			c.fatalf("mount %s on %s: %v", m.fstype, m.dir, err)
		}
	}
	var err error
	g.console, err = os.OpenFile("/dev/ttyS0", os.O_WRONLY|syscall.O_NOCTTY, 0)
	c.must(err)
	for _, name := range []string{"sh", "cat", "sleep", "ls"} {
		c.must(os.Symlink("/bin/busybox", "/bin/"+name))
	}
	os.Setenv("PATH", "/bin:/usr/bin")
	os.Setenv("TERM", "dumb")
	os.Setenv("LC_ALL", "C.UTF-8")
	c.must(up("lo"))
	var uts unix.Utsname
	c.must(unix.Uname(&uts))
	c.notef("Linux %s", unix.ByteSliceToString(uts.Release[:]))
}

// up brings a network interface up, see netdevice(7).
func up(name string) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	r, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	r.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, r)
}

// modules are those of the 9P client, each behind what it needs, and FUSE.
var modules = []string{"netfs", "fscache", "9pnet", "9pnet_fd", "9p", "fuse"}

func loadModules(c *check) {
	for _, name := range modules {
		f, err := os.Open("/modules/" + name + ".ko")
		c.must(err)
		err = unix.FinitModule(int(f.Fd()), "", 0)
		f.Close()
		if err != nil {
			c.fatalf("load %s: %v", name, err)
		}
	}
}

// kernelLog has nothing that a kernel should not have to say.
func kernelLog(c *check) {
	size, err := unix.Klogctl(unix.SYSLOG_ACTION_SIZE_BUFFER, nil)
	c.must(err)
	buf := make([]byte, size)
	n, err := unix.Klogctl(unix.SYSLOG_ACTION_READ_ALL, buf)
	c.must(err)
	for line := range strings.Lines(string(buf[:n])) {
		for _, bad := range []string{"BUG:", "WARNING:", "Oops", "blocked for more than", "detected stall", "Call Trace", "Out of memory"} {
			if strings.Contains(line, bad) {
				c.errorf("%s", strings.TrimSpace(line))
			}
		}
	}
}

// start starts a program that runs on, with its output in a log.
func start(c *check, log string, argv ...string) *exec.Cmd {
	f, err := os.OpenFile("/run/"+log+".log", os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	c.must(err)
	defer f.Close()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = f, f
	if err := cmd.Start(); err != nil {
		c.fatalf("start %v: %v", argv, err)
	}
	return cmd
}

// output runs a program to its end.
func output(c *check, cmd *exec.Cmd) string {
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err == nil && stderr.Len() > 0 {
		err = fmt.Errorf("it complains")
	}
	if err != nil {
		c.fatalf("%v: %v: %s\n%s", cmd.Args, err, &stderr, out)
	}
	return string(out)
}
