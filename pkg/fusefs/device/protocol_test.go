package device

import (
	"encoding/binary"
	"testing"
	"unsafe"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// message is a request of that opcode and body.
func message(op uint32, body []byte) []byte {
	h := fuse.InHeader{Length: uint32(headerSize + len(body)), Opcode: op, Unique: 2, NodeId: 1}
	return append(append([]byte(nil), BytesOf(&h)...), body...)
}

func TestCheck(t *testing.T) {
	size := func(n uint32) []byte {
		in := fuse.ReadIn{Size: n}
		return BytesOf(&in)[unsafe.Sizeof(fuse.InHeader{}):]
	}
	forgets := func(count uint32, bytes int) []byte {
		return append(binary.NativeEndian.AppendUint64(nil, uint64(count)), make([]byte, bytes)...)
	}
	long := message(opStatfs, nil)
	long[0]++
	extended := message(opStatfs, nil)
	extended[36] = 1
	for what, c := range map[string]struct {
		in   []byte
		want unix.Errno
	}{
		"no header":                 {make([]byte, headerSize-1), unix.EINVAL},
		"longer than it is":         {long, unix.EINVAL},
		"an extension":              {extended, unix.EINVAL},
		"statfs":                    {message(opStatfs, nil), 0},
		"statfs with more":          {message(opStatfs, make([]byte, 8)), unix.EINVAL},
		"a name":                    {message(OpLookup, []byte("a\x00")), 0},
		"a name without its end":    {message(OpLookup, []byte("a")), unix.EINVAL},
		"no name":                   {message(OpLookup, nil), unix.EINVAL},
		"two names":                 {message(OpLookup, []byte("a\x00b\x00")), unix.EINVAL},
		"getattr that is too short": {message(OpGetattr, make([]byte, 15)), unix.EINVAL},
		"read":                      {message(OpRead, size(4096)), 0},
		"read of everything":        {message(OpRead, size(1<<32-1)), unix.EINVAL},
		"readdirplus of everything": {message(OpReaddirplus, size(maxPayload+1)), unix.EINVAL},
		"two forgets":               {message(OpBatchForget, forgets(2, 32)), 0},
		"two forgets and one is":    {message(OpBatchForget, forgets(2, 16)), unix.EINVAL},
		"forgets without number":    {message(OpBatchForget, forgets(1<<31, 0)), unix.EINVAL},
		"half an interrupt":         {message(OpInterrupt, make([]byte, 4)), unix.EINVAL},
		"a change":                  {message(4, make([]byte, 88)), unix.ENOSYS},
		"what no kernel has":        {message(opcodes-1, nil), unix.ENOSYS},
		"what no kernel will have":  {message(1<<31, nil), unix.ENOSYS},
		"a second greeting":         {message(opInit, make([]byte, 64)), unix.EIO},
	} {
		if got := check(c.in, true); got != c.want {
			t.Errorf("%s: %v, not %v", what, got, c.want)
		}
	}
	if err := checkInit(message(opInit, make([]byte, 64))); err != nil {
		t.Errorf("a greeting: %v", err)
	}
	for what, in := range map[string][]byte{"none": nil, "another": message(opStatfs, nil), "a short one": message(opInit, nil)} {
		if checkInit(in) == nil {
			t.Errorf("a greeting that is %s", what)
		}
	}
	if check(message(OpLookup, []byte("a\x00")), false) == 0 {
		t.Error("a request before the greeting")
	}
}

func TestCheckNotification(t *testing.T) {
	inode := fuse.NotifyInvalInodeOut{Ino: 7}
	entry := fuse.NotifyInvalEntryOut{Parent: 1, NameLen: 2}
	store := fuse.NotifyStoreOut{Nodeid: 7, Size: 3} // which no server sends
	tooLong := fuse.NotifyInvalEntryOut{Parent: 1, NameLen: 1<<32 - 1}
	answer := Notification(NotifyInvalInode, BytesOf(&inode), nil)
	answer[8] = 1
	cut := Notification(NotifyInvalEntry, BytesOf(&entry), []byte("ab\x00"))
	for what, c := range map[string]struct {
		message []byte
		ok      bool
	}{
		"an inode":             {Notification(NotifyInvalInode, BytesOf(&inode), nil), true},
		"a name":               {Notification(NotifyInvalEntry, BytesOf(&entry), []byte("ab\x00")), true},
		"content":              {Notification(4, BytesOf(&store), []byte("abc")), false},
		"nothing":              {nil, false},
		"an answer":            {answer, false},
		"an inode and more":    {Notification(NotifyInvalInode, BytesOf(&inode), []byte("x")), false},
		"a name without end":   {Notification(NotifyInvalEntry, BytesOf(&entry), []byte("abc")), false},
		"a name that is short": {Notification(NotifyInvalEntry, BytesOf(&entry), []byte("a\x00")), false},
		"a name without bound": {Notification(NotifyInvalEntry, BytesOf(&tooLong), nil), false},
		"a name that is cut":   {cut[:len(cut)-1], false},
		"another code":         {Notification(notifyResend, nil, nil), false},
		"an error":             {Notification(-int32(unix.EIO), nil, nil), false},
	} {
		if err := checkNotification(c.message); (err == nil) != c.ok {
			t.Errorf("%s: %v", what, err)
		}
	}
}
