package main

import (
	"errors"
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"
)

// checkCaller refuses to run with another user's rights, and without the
// capability, which would fail later.
func checkCaller() error {
	if unix.Getuid() == 0 {
		return errors.New("root needs no helper")
	}
	if unix.Getuid() != unix.Geteuid() || unix.Getgid() != unix.Getegid() {
		return errors.New("this must not be a setuid or setgid program (chmod u-s,g-s aggrfs-ns)")
	}
	var data [2]unix.CapUserData
	if err := unix.Capget(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &data[0]); err != nil {
		return fmt.Errorf("capget: %w", err)
	}
	if data[0].Effective&(1<<unix.CAP_SYS_ADMIN) == 0 {
		return errors.New("no capability to mount: setcap cap_sys_admin+ep aggrfs-ns, on a file system that is not nosuid")
	}
	return nil
}

// descriptor is the number of an open descriptor behind stderr.
func descriptor(arg string) (int, error) {
	fd, err := strconv.ParseUint(arg, 10, 20)
	if err != nil || fd < 3 || arg != strconv.FormatUint(fd, 10) {
		return -1, fmt.Errorf("%q is no descriptor", arg)
	}
	return int(fd), nil
}

// takeSocket takes the connected unix socket to the server.
func takeSocket(arg string) (int, error) {
	fd, err := descriptor(arg)
	if err != nil {
		return -1, err
	}
	domain, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	if err != nil {
		return -1, fmt.Errorf("descriptor %d is no socket: %w", fd, err)
	}
	kind, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
	if err != nil || domain != unix.AF_UNIX || kind != unix.SOCK_STREAM {
		return -1, fmt.Errorf("descriptor %d is no unix stream socket", fd)
	}
	unix.CloseOnExec(fd)
	return fd, nil
}

// The FUSE device's number, see Documentation/admin-guide/devices.txt.
const fuseMajor, fuseMinor = 10, 229

// takeDevice takes the FUSE device.
func takeDevice(arg string) (int, error) {
	fd, err := descriptor(arg)
	if err != nil {
		return -1, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return -1, fmt.Errorf("descriptor %d: %w", fd, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFCHR || st.Rdev != unix.Mkdev(fuseMajor, fuseMinor) {
		return -1, fmt.Errorf("descriptor %d is not /dev/fuse", fd)
	}
	unix.CloseOnExec(fd)
	return fd, nil
}

// checkAside reports whether the place for the native procfs is root's alone, so
// that what is mounted there, and executed from there, is what was put there.
func checkAside() error {
	var st unix.Stat_t
	err := unix.Lstat(aside, &st)
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w: the machine's administrator makes it (systemd-tmpfiles --create, or install -d -m 0755 %s)", aside, err, aside)
	case st.Mode&unix.S_IFMT != unix.S_IFDIR:
		return fmt.Errorf("%s is no directory", aside)
	case st.Uid != 0 || st.Mode&0o7777 != 0o755:
		// With 0700 it is that of a command of root's, and goes with that.
		return fmt.Errorf("%s must be root's, with mode 0755 (chown root %s; chmod 0755 %s)", aside, aside, aside)
	}
	return nil
}
