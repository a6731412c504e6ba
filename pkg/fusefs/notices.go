package fusefs

import (
	"github.com/aggrfs/aggrfs/pkg/fusefs/device"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// A Notifier writes notifications in a server's stead: whoever holds the device of a mount
// that was handed over. The kernel can keep a write waiting for as long as the mount's user
// likes.
type Notifier interface {
	// Notify takes a notification, the complete bytes of one write(2), which are its own
	// from here on, and returns at once. Messages are written in the order of the calls.
	// done, unless it is nil, is called once from another goroutine: with the result of the
	// write, or with an error where the message will not be written.
	Notify(message []byte, done func(error))
}

// notices tell the kernel what it did not ask for: with a Notifier at once and unheard, else
// before they return.
//
// Deadlocks: INVAL_INODE locks pages, and a page that is
// being read is locked until its READ is answered. So READ must be answered
// without any lock under which it is sent: it takes none but the file
// table's, for a look-up, and is carried out by another reader, which the watch
// sends if there is none at the device.
// INVAL_ENTRY locks the directory, as every LOOKUP and READDIR there does
// until it is answered: it is sent by the pruner alone, never while a request
// is carried out.
type notices struct {
	conn interface {
		Notify(code int32, body, payload []byte) error
	}
	to Notifier // nil: by conn
}

// invalAll drops the pages, and makes the kernel ask for the attributes again and
// ignore all that it was told in answers to what it has asked before. done is called as
// that of a Notifier; without one, before invalAll returns. ENOENT: the kernel has dropped
// the inode and its pages itself.
func (n notices) invalAll(id uint64, done func(error)) {
	body := fuse.NotifyInvalInodeOut{Ino: id}
	n.send(device.NotifyInvalInode, device.BytesOf(&body), nil, done)
}

// invalEntry drops a name of a directory and all that is known below it. What
// is in use there stays as it is, without a name.
func (n notices) invalEntry(dir uint64, name string) {
	body := fuse.NotifyInvalEntryOut{Parent: dir, NameLen: uint32(len(name))}
	n.send(device.NotifyInvalEntry, device.BytesOf(&body), append([]byte(name), 0), nil) // ENOENT: the kernel has dropped it itself
}

func (n notices) send(code int32, body, payload []byte, done func(error)) {
	if n.to != nil {
		n.to.Notify(device.Notification(code, body, payload), done)
		return
	}
	err := n.conn.Notify(code, body, payload)
	if done != nil {
		done(err)
	}
}
