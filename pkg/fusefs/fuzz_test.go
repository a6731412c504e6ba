package fusefs

import (
	"encoding/binary"
	"log/slog"
	"os"
	"testing"
	"time"
	"unsafe"

	"github.com/aggrfs/aggrfs/pkg/fusefs/device"
	"github.com/aggrfs/aggrfs/pkg/vfs/vfstest"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

const inHeaderSize = int(unsafe.Sizeof(fuse.InHeader{}))

// ask makes a request: its length and number are right, all else is given.
func ask(op uint32, node uint64, body []byte) []byte {
	h := fuse.InHeader{Length: uint32(inHeaderSize + len(body)), Opcode: op, Unique: 2, NodeId: node}
	return append(append([]byte(nil), device.BytesOf(&h)...), body...)
}

// together is several requests as one input, each after its length.
func together(requests ...[]byte) (all []byte) {
	for _, r := range requests {
		all = append(binary.NativeEndian.AppendUint16(all, uint16(len(r))), r...)
	}
	return all
}

// initRequest is an INIT as a kernel sends it.
func initRequest() []byte {
	in := fuse.InitIn{Major: 7, Minor: 45, MaxReadAhead: 1 << 17, Flags: 1<<32 - 1}
	return ask(26, 0, device.BytesOf(&in)[inHeaderSize:])
}

// fuzzTime is how long a request may take.
const fuzzTime = 30 * time.Second

// FuzzRequests sends whatever it likes to servers of all modes, over a socket in place of the
// device. They must not panic or hang, or hold more than is open; and afterwards they answer.
func FuzzRequests(f *testing.F) {
	le := binary.NativeEndian
	words := func(all ...uint64) (b []byte) {
		for _, w := range all {
			b = le.AppendUint64(b, w)
		}
		return b
	}
	read := func(fh, offset uint64, size uint32) []byte { return words(fh, offset, uint64(size), 0, 0) }
	const first = 2 // the first node, of generation 0; handles begin with 1
	f.Add(together(ask(1, 1, []byte("1\x00")), ask(1, first, []byte("stat\x00")), ask(14, first+1, words(0)), ask(15, first+1, read(1, 0, 4096)), ask(18, first+1, words(1, 0, 0)), ask(2, first+1, words(1)), ask(42, 0, words(2, first, 1, first+1, 9))))
	f.Add(together(ask(27, 1, words(0)), ask(44, 1, read(1, 0, 4096)), ask(28, 1, read(1, 0, 4096)), ask(29, 1, words(1, 0, 0))))
	f.Add(together(ask(3, 1, words(0, 0)), ask(34, 1, words(4)), ask(17, 1, nil), ask(5, first, nil), ask(36, 0, words(2))))
	f.Add(together(ask(15, 1, read(1, 1<<63, 1<<32-1)), ask(44, 1, read(9, 1<<64-1, 1)), ask(42, 0, words(1<<32-1)), ask(2, 1, words(1<<64-1))))
	f.Add(together(initRequest(), ask(38, 0, nil), ask(16, first, make([]byte, 4136)), ask(1, 1<<64-1, []byte("x\x00")), ask(1, 1, []byte(".go-fuse-epoll-hack\x00"))))
	f.Add(together(ask(1, 1, []byte("\x00")), ask(1, 1, []byte("..\x00")), ask(1, 1, []byte("a/b\x00")), make([]byte, 39), ask(1<<31, 1, nil)))
	f.Fuzz(func(t *testing.T, input []byte) {
		for _, cfg := range []Config{
			{},
			{Notifier: &writer{some: make(chan struct{}, 1)}, NoThreads: true},
			{Shared: true, NoThreads: true},
			{Prefetched: &Prefetched{Interval: time.Hour, Generation: func() uint64 { return 0 }}},
		} {
			fuzzOne(t, cfg, input)
		}
	})
}

func fuzzOne(t *testing.T, cfg Config, input []byte) {
	tree := resumeTree()
	tree.Put("1/link", vfstest.Link{Target: "stat"})
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	ours := os.NewFile(uintptr(fds[0]), "kernel")
	defer ours.Close()
	cfg.Attach, cfg.Resume, cfg.Log = attach(tree), &Resume{Init: initRequest()}, slog.New(slog.DiscardHandler)
	s, err := Serve(os.NewFile(uintptr(fds[1]), "device"), cfg)
	if err != nil {
		t.Fatal(err)
	}
	heard := make(chan struct{})
	go listen(fds[0], heard)
	for len(input) >= 2 {
		n := int(binary.NativeEndian.Uint16(input)) % 8193 // no more than a kernel has room for
		input = input[2:]
		n = min(n, len(input))
		if n > 0 {
			if _, err := unix.Write(fds[0], input[:n]); err != nil {
				t.Fatal(err)
			}
		}
		input = input[n:]
	}
	last := ask(17, 1, nil)
	binary.NativeEndian.PutUint64(last[8:], fuzzLast)
	if _, err := unix.Write(fds[0], last); err != nil {
		t.Fatal(err)
	}
	select {
	case <-heard:
	case <-time.After(fuzzTime):
		t.Fatal("the server answers no more")
	}
	if n := s.fs.inodes.size(); n > 6 {
		t.Errorf("%d inodes of a tree of 6", n)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if n := tree.Handles(); n != 0 {
		t.Errorf("%d handles are left open", n)
	}
	for _, v := range tree.Violations() {
		t.Errorf("contract: %s", v)
	}
}

// fuzzLast is the number of the last request.
const fuzzLast = 0x7fffffffdead

// listen takes what is answered, until the last request is.
func listen(fd int, heard chan struct{}) {
	buf := make([]byte, 1<<20)
	for {
		n, err := unix.Read(fd, buf)
		if err == unix.EINTR {
			continue
		}
		if err != nil || n < 16 {
			return
		}
		if binary.NativeEndian.Uint64(buf[8:]) == fuzzLast {
			close(heard)
			return
		}
	}
}
