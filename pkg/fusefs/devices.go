package fusefs

import (
	"os"

	"github.com/aggrfs/aggrfs/pkg/fusefs/device"
)

// options are what mount(2) has to be told.
func (c *Config) options() device.Options {
	return device.Options{UID: c.Owner.UID, GID: c.Owner.GID, Shared: c.Shared, Source: c.withDefaults().FSName}
}

// OpenDevice opens the FUSE device: one mount, once it is mounted.
func OpenDevice() (*os.File, error) { return device.Open() }

// OpenClone opens the device once more, on the mount that dev is of, see [device.OpenClone].
func OpenClone(dev *os.File) (*os.File, error) { return device.OpenClone(dev) }

// MountOptions returns what mount(2) has to be told, see [device.MountOptions].
func MountOptions(fd int, cfg Config) (fstype string, flags uintptr, data string) {
	return device.MountOptions(fd, cfg.options())
}

// MountAt makes the mount(2) call alone, see [device.MountAt].
func MountAt(dir string, fd int, cfg Config) error { return device.MountAt(dir, fd, cfg.options()) }

// MountDevice mounts a device at dir, as Mount does, for another process to serve. umount takes
// the mount away, from under its users where it is busy.
//
// With replace it takes the place of a mount that is dead.
func MountDevice(dir string, cfg Config, replace bool) (dev *os.File, umount func() error, err error) {
	if replace {
		return device.Replace(dir, cfg.options())
	}
	return device.Mount(dir, cfg.options())
}

// Write writes a notification that a [Notifier] was given, see [device.Write].
func Write(dev *os.File, message []byte) error { return device.Write(dev, message) }

// Resend has requests delivered again that a server which has ended left unanswered, see
// [device.Resend].
func Resend(dev *os.File) error { return device.Resend(dev) }

// Revalidate has the kernel look its names up again, see [device.Revalidate].
func Revalidate(dev *os.File) error { return device.Revalidate(dev) }

// StandBy answers EIO to whoever uses a mount that has no server, see [device.StandBy]. mountPoint is
// the name of the tree's vfs.MountPoint, "" for none.
func StandBy(dev *os.File, mountPoint string) (*device.StandIn, error) {
	return device.StandBy(dev, device.MountPoint{Name: mountPoint, Node: mountPointID, Keep: mountPointTime})
}
