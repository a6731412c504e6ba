package vfstest

import (
	"os"
	"syscall"
	"testing"
)

// fuseDevice is where the FUSE device is, see fuse(4).
const fuseDevice = "/dev/fuse"

// FuseForAll lets every user of this machine open the FUSE device until the end
// of the test, as distributions do. A lock on the device keeps the tests of
// other packages from putting its mode back before.
func FuseForAll(t testing.TB) {
	t.Helper()
	device, err := os.OpenFile(fuseDevice, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { device.Close() })
	conn, err := device.SyscallConn()
	if err == nil {
		ctlErr := conn.Control(func(fd uintptr) { err = syscall.Flock(int(fd), syscall.LOCK_EX) })
		if ctlErr != nil {
			err = ctlErr
		}
	}
	if err != nil {
		t.Fatal("lock:", err)
	}
	before, err := os.Stat(fuseDevice)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(fuseDevice, 0o666); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.Chmod(fuseDevice, before.Mode().Perm()); err != nil {
			t.Error(err)
		}
	})
}
