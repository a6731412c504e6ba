package procfile

import "fmt"

// The number of a terminal in stat is that of its device as new_encode_dev in linux/kdev_t.h has
// it: bits 0 to 7 and 20 to 31 are the minor number, 8 to 19 the major.

// TTYMinors is how many minor numbers a device can have.
const TTYMinors = 1 << 20

// TTYNumber is the number of a terminal of those.
func TTYNumber(major, minor uint32) int64 {
	return int64(int32(minor&0xff | (major&0xfff)<<8 | (minor&^0xff)<<12))
}

// TTYDevice is the device of a terminal's number.
func TTYDevice(tty int64) (major, minor uint32) {
	n := uint32(tty)
	return n >> 8 & 0xfff, n&0xff | n>>12&^0xff
}

// Major numbers of terminals, see devices.txt in the kernel's Documentation/admin-guide.
const (
	ttyMajor  = 4 // consoles, and serial lines from 64 on
	ptsMajor  = 136
	ptsMajors = 8
)

// TTYName is what ps calls the terminal on its own machine: "pts/30", "tty1", "ttyS0", or the
// device's numbers where it is none of these; "" is none.
func TTYName(tty int64) string {
	major, minor := TTYDevice(tty)
	switch {
	case tty == 0:
		return ""
	case major >= ptsMajor && major < ptsMajor+ptsMajors:
		return fmt.Sprintf("pts/%d", minor+(major-ptsMajor)*256)
	case major == ttyMajor && minor < 64:
		return fmt.Sprintf("tty%d", minor)
	case major == ttyMajor:
		return fmt.Sprintf("ttyS%d", minor-64)
	}
	return fmt.Sprintf("%d:%d", major, minor)
}
