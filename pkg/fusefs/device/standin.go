package device

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// A StandIn answers EIO to all requests of a mount whose server has gone, so that nobody
// waits until there is another; but for a look at a mount point, which says what the servers say.
type StandIn struct {
	point MountPoint
	dev   *descriptor
	gone  chan struct{} // closed when there is nothing more to read
	read  atomic.Bool   // what others have read is to be refused, see RefuseRead
	work  sync.WaitGroup
	bye   sync.Once
}

// A MountPoint is a directory of the root on which something is mounted: a kernel to which a look at
// its name is an error takes that away. No name is none.
type MountPoint struct {
	Name string
	Node uint64        // its node id
	Keep time.Duration // how long the name is good
}

// StandBy starts a stand-in on a mounted device, which it makes non-blocking, and leaves
// open.
func StandBy(dev *os.File, point MountPoint) (*StandIn, error) {
	d, err := watchDescriptor(int(dev.Fd()), nil)
	if err != nil {
		return nil, err
	}
	if err := d.watch(d.fd); err != nil {
		d.close()
		return nil, os.NewSyscallError("watch the FUSE device", err)
	}
	s := &StandIn{point: point, dev: d, gone: make(chan struct{})}
	s.work.Go(s.run)
	return s, nil
}

func (s *StandIn) run() {
	defer close(s.gone)
	buf := make([]byte, requestSize)
	var last sleeper
	for {
		n, err := s.dev.read(buf, &last)
		if err != nil {
			return
		}
		if n >= headerSize && s.read.Swap(false) {
			s.dev.refuseAround((*fuse.InHeader)(unsafe.Pointer(unsafe.SliceData(buf))).Unique, unix.EIO)
		}
		if !s.lookedAt(buf[:n]) {
			s.dev.refuseOne(buf[:n], unix.EIO)
		}
	}
}

// RefuseRead has the stand-in refuse also what somebody has read from this descriptor, or a duplicate,
// and not answered: a server that has ended or hangs, where the kernel can neither fail it (OpenClone)
// nor deliver it again (Resend). latest is the number of a request that the server has read not long
// before, 0 if it had not read many. What that does not reach is refused with the next request, or
// with a signal to one who waits, of which the kernel tells.
func (s *StandIn) RefuseRead(latest uint64) {
	s.read.Store(true)
	s.work.Go(func() { s.dev.refuseAround(latest, unix.EIO) })
}

// lookedAt answers a LOOKUP of the mount point, and reports whether the request is one.
func (s *StandIn) lookedAt(in []byte) bool {
	const head = int(unsafe.Sizeof(fuse.InHeader{}))
	if s.point.Name == "" || opcode(in) != OpLookup || string(bytes.TrimRight(in[head:], "\x00")) != s.point.Name {
		return false
	}
	asked := (*fuse.InHeader)(unsafe.Pointer(unsafe.SliceData(in)))
	if asked.NodeId != fuse.FUSE_ROOT_ID {
		return false
	}
	found := fuse.EntryOut{NodeId: s.point.Node, Attr: fuse.Attr{Ino: s.point.Node, Mode: syscall.S_IFDIR | 0o555, Nlink: 2}}
	found.SetEntryTimeout(s.point.Keep)
	out := make([]byte, outHeaderSize, outHeaderSize+int(unsafe.Sizeof(found)))
	out, err := binary.Append(out, binary.NativeEndian, &found)
	if err != nil {
		return false
	}
	binary.NativeEndian.PutUint32(out, uint32(len(out)))
	binary.NativeEndian.PutUint64(out[8:], asked.Unique)
	_ = s.dev.write(out)
	return true
}

// Done is closed when the mount is gone, or Close has been called.
func (s *StandIn) Done() <-chan struct{} { return s.gone }

// Close ends it. No request is read from then on but by a reader that read(2) does not let
// go, since somebody has made the device block; that one is an error, and refuses what it
// gets. What was read has been answered.
func (s *StandIn) Close() error {
	var err error
	s.bye.Do(func() {
		s.dev.stop()
		if !within(endGrace, &s.work) {
			err = errors.New("a read of the FUSE device does not end")
		}
		s.dev.closeAfter(err == nil, s.gone)
	})
	return err
}
