package fusefs

import (
	"unsafe"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// The notifications used here, see enum fuse_notify_code in linux/fuse.h. One
// is written like an answer to request 0, with its code in the place of the error.
const (
	notifyInvalInode = 2
	notifyInvalEntry = 3
	notifyStore      = 4
)

// A notifier tells the kernel what it did not ask for.
//
// Deadlocks: INVAL_INODE of pages and STORE lock pages, and a page that is
// being read is locked until its READ is answered. So READ must be answered
// without any lock under which these are sent: it takes none but the file
// table's, for a look-up, and is carried out by another reader, which the watch
// sends if there is none at the device.
// INVAL_ENTRY locks the directory, as every LOOKUP and READDIR there does
// until it is answered: it is sent by the pruner alone, never while a request
// is carried out.
type notifier struct{ dev *device }

// invalAll drops the pages, and makes the kernel ask for the attributes again and
// ignore all that it was told in answers to what it has asked before.
func (n notifier) invalAll(id uint64) {
	body := fuse.NotifyInvalInodeOut{Ino: id}
	_ = n.send(notifyInvalInode, bytesOf(&body), nil) // ENOENT: the kernel has dropped the inode and its pages itself
}

// invalEntry drops a name of a directory and all that is known below it. What
// is in use there stays as it is, without a name.
func (n notifier) invalEntry(dir uint64, name string) {
	body := fuse.NotifyInvalEntryOut{Parent: dir, NameLen: uint32(len(name))}
	_ = n.send(notifyInvalEntry, bytesOf(&body), append([]byte(name), 0)) // ENOENT: the kernel has dropped it itself
}

// store puts content into the pages, from the beginning of the file. It
// reports whether the kernel took it.
func (n notifier) store(id uint64, content []byte) bool {
	body := fuse.NotifyStoreOut{Nodeid: id, Size: uint32(len(content))}
	return n.send(notifyStore, bytesOf(&body), content) == nil
}

func (n notifier) send(code int32, body, payload []byte) error {
	h := fuse.OutHeader{Status: code}
	head := bytesOf(&h)
	h.Length = uint32(len(head) + len(body) + len(payload))
	return n.dev.write(head, body, payload)
}

// bytesOf is a message of the protocol as it lies in memory.
func bytesOf[T any](v *T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(v)), unsafe.Sizeof(*v))
}
