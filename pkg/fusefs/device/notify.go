package device

import (
	"encoding/binary"
	"fmt"
	"os"
	"unsafe"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/aggrfs/aggrfs/internal/olderkernel"
)

// Codes of notifications, see enum fuse_notify_code in linux/fuse.h. One is written like an
// answer to request 0, with its code in the place of the error.
const (
	NotifyInvalInode = 2
	NotifyInvalEntry = 3
	notifyResend     = 7
	notifyEpoch      = 8
)

// notificationHead is the header of a notification of that code with so many bytes behind.
func notificationHead(code int32, size int) fuse.OutHeader {
	return fuse.OutHeader{Length: uint32(outHeaderSize + size), Status: code}
}

// Notification is a notification as Write takes it.
func Notification(code int32, body, payload []byte) []byte {
	h := notificationHead(code, len(body)+len(payload))
	message := make([]byte, 0, h.Length)
	message = append(message, BytesOf(&h)...)
	return append(append(message, body...), payload...)
}

// BytesOf is a message of the protocol as it lies in memory.
func BytesOf[T any](v *T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(v)), unsafe.Sizeof(*v))
}

// Write writes a notification that somebody else has made: INVAL_INODE or INVAL_ENTRY, in
// the form of Notification. All else is refused: it could be an answer.
// It can wait for as long as a request on the mount goes unanswered.
func Write(dev *os.File, message []byte) error {
	if err := checkNotification(message); err != nil {
		return err
	}
	return writeTo(dev, message)
}

func checkNotification(message []byte) error {
	const (
		inode = int(unsafe.Sizeof(fuse.NotifyInvalInodeOut{}))
		entry = int(unsafe.Sizeof(fuse.NotifyInvalEntryOut{}))
	)
	if len(message) < outHeaderSize || uint64(binary.NativeEndian.Uint32(message)) != uint64(len(message)) ||
		binary.NativeEndian.Uint64(message[8:]) != 0 {
		return fmt.Errorf("%d bytes that are no notification: %w", len(message), unix.EINVAL)
	}
	code, body, ok := binary.NativeEndian.Uint32(message[4:]), message[outHeaderSize:], false
	switch code {
	case NotifyInvalInode:
		ok = len(body) == inode
	case NotifyInvalEntry:
		ok = len(body) >= entry && uint64(len(body)-entry) == uint64(binary.NativeEndian.Uint32(body[8:]))+1 && body[len(body)-1] == 0
	}
	if !ok {
		return fmt.Errorf("%d bytes that are no notification with code %d: %w", len(message), code, unix.EINVAL)
	}
	return nil
}

// Resend has all requests delivered again that somebody has read and not answered: what a
// server that has ended left behind. Kernels before Linux 6.9 cannot: EINVAL.
func Resend(dev *os.File) error { return bare(dev, notifyResend, olderkernel.Resend) }

// Revalidate has the kernel look all names up again, whatever it was told about how long they
// are good. Kernels before Linux 6.16 cannot: EINVAL.
func Revalidate(dev *os.File) error { return bare(dev, notifyEpoch, olderkernel.Epoch) }

// bare writes a notification that has nothing behind its header, and is called what.
func bare(dev *os.File, code int32, what string) error {
	if olderkernel.Lacks(what) {
		return os.NewSyscallError("notify the FUSE device", unix.EINVAL)
	}
	h := notificationHead(code, 0)
	return writeTo(dev, BytesOf(&h))
}

// writeTo is one write(2).
func writeTo(dev *os.File, message []byte) error {
	conn, err := dev.SyscallConn()
	if err != nil {
		return err
	}
	var wrote error
	if err := conn.Control(func(fd uintptr) { _, wrote = unix.Write(int(fd), message) }); err != nil {
		return err
	}
	return os.NewSyscallError("notify the FUSE device", wrote)
}
