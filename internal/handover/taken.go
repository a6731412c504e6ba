package handover

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A Taken is a device that the daemon was given, and the command that holds its mount.
type Taken struct {
	Offer  Offer
	Device *os.File // who takes it out closes it
	// Latest is the number of a request that was among the last to be read, which the command is told;
	// nil is that it is not. It is set before Serve.
	Latest func() uint64

	conn *net.UnixConn

	mu      sync.Mutex
	queue   [][]byte               // what is to be sent; guarded by mu
	queued  int                    // its bytes
	last    uint64                 // the last notification's number
	waiting map[uint64]func(error) // by number
	err     error                  // why nothing is sent any more
	wake    chan struct{}          // holds one
}

const (
	// helloTime bounds the wait for a whole offer.
	helloTime = 5 * time.Second
	// sendTime is how long a command may take nothing of what is sent to it, and maxQueued how
	// many bytes may wait for it: then it is gone.
	sendTime  = 10 * time.Second
	maxQueued = 8 << 20
	// maxDescriptors is how many descriptors of one message are taken, to be closed.
	maxDescriptors = 16
)

var errSlow = errors.New("the command does not take its notifications")

// Take reads the offer with which a connection begins. It closes all descriptors that came
// with it, unless it is one, and that the FUSE device.
func Take(conn *net.UnixConn) (*Taken, error) {
	if err := conn.SetReadDeadline(time.Now().Add(helloTime)); err != nil {
		return nil, err
	}
	first, device, err := receive(conn)
	if err != nil {
		return nil, err
	}
	h := &Taken{Device: device, conn: conn, waiting: make(map[uint64]func(error)), wake: make(chan struct{}, 1)}
	err = h.takeOffer(io.MultiReader(bytes.NewReader(first), conn))
	if err == nil {
		err = conn.SetReadDeadline(time.Time{})
	}
	if err != nil {
		device.Close()
		return nil, err
	}
	return h, nil
}

// takeOffer reads Magic and the offer.
func (h *Taken) takeOffer(r io.Reader) error {
	magic := make([]byte, len(Magic))
	if _, err := io.ReadFull(r, magic); err != nil {
		return err
	}
	if string(magic) != Magic {
		return fmt.Errorf("an offer begins with %q, not with %q", Magic, magic)
	}
	kind, body, err := readMessage(r, maxOffer)
	if err != nil {
		return fmt.Errorf("the offer of a mount: %w", err)
	}
	if kind != kindOffer {
		return fmt.Errorf("a message of kind %q in place of an offer", kind)
	}
	if err := json.Unmarshal(body, &h.Offer); err != nil {
		return fmt.Errorf("the offer of a mount: %w", err)
	}
	return nil
}

// receive reads the first bytes and the one descriptor that comes with them.
func receive(conn *net.UnixConn) (first []byte, device *os.File, err error) {
	buf, oob := make([]byte, 4096), make([]byte, unix.CmsgSpace(4*maxDescriptors))
	n, size, flags, _, err := conn.ReadMsgUnix(buf, oob) // by package net with MSG_CMSG_CLOEXEC
	fds := descriptors(oob[:size])
	if err == nil && n == 0 {
		err = io.ErrUnexpectedEOF
	}
	if err == nil && (len(fds) != 1 || flags&unix.MSG_CTRUNC != 0) {
		err = fmt.Errorf("%d descriptors come with an offer, and it takes one", len(fds))
	}
	if err == nil {
		err = isDevice(fds[0])
	}
	if err != nil {
		for _, fd := range fds {
			unix.Close(fd)
		}
		return nil, nil, err
	}
	return buf[:n], os.NewFile(uintptr(fds[0]), "/dev/fuse"), nil
}

// descriptors are all that came with a message.
func descriptors(oob []byte) (all []int) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil
	}
	for i := range messages {
		if fds, err := unix.ParseUnixRights(&messages[i]); err == nil {
			all = append(all, fds...)
		}
	}
	return all
}

// The FUSE device's numbers, see the kernel's Documentation/admin-guide/devices.txt.
const (
	fuseMajor = 10
	fuseMinor = 229
)

// isDevice checks that a descriptor is the FUSE device, open for both directions, and mounted.
// It waits for nothing.
func isDevice(fd int) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFCHR || st.Rdev != unix.Mkdev(fuseMajor, fuseMinor) {
		return errors.New("the descriptor that comes with an offer is not /dev/fuse")
	}
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	if err != nil {
		return err
	}
	if flags&unix.O_ACCMODE != unix.O_RDWR || flags&unix.O_PATH != 0 {
		return errors.New("the FUSE device of an offer is not open for reading and writing")
	}
	is, err := isMounted(fd)
	if err == nil && !is {
		err = errors.New("the FUSE device of an offer is not mounted")
	}
	return err
}

// isMounted reports whether a device is that of a mount, and not of one that has ended. Since
// Linux 6.18 a device that is not mounted can be made to block whoever reads or polls it
// (FUSE_DEV_IOC_SYNC_INIT), and its fdinfo tells of the connection once there is one; before, a
// read with no room for a request fails with EINVAL on one that is mounted, and at once on all.
func isMounted(fd int) (bool, error) {
	info, err := os.ReadFile(fmt.Sprintf("/proc/self/fdinfo/%d", fd))
	if err != nil {
		return false, err
	}
	if !strings.Contains(string(info), "fuse_connection:") {
		if canBlock, err := kernelCanBlock(); err != nil || canBlock {
			return false, err
		}
		if _, err := unix.Read(fd, make([]byte, 1)); err != unix.EINVAL {
			return false, nil
		}
	}
	poll := []unix.PollFd{{Fd: int32(fd)}}
	n, err := unix.Poll(poll, 0)
	return n == 0 || poll[0].Revents&unix.POLLERR == 0, err
}

// kernelCanBlock reports whether this is Linux 6.18 or later.
func kernelCanBlock() (bool, error) {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return false, err
	}
	var major, minor int
	if _, err := fmt.Sscanf(unix.ByteSliceToString(name.Release[:]), "%d.%d", &major, &minor); err != nil {
		return true, nil // which is the safe side
	}
	return major > 6 || major == 6 && minor >= 18, nil
}

// Ready says that the device is served.
func (h *Taken) Ready(r Ready) { h.send(frameJSON(kindReady, r)) }

// Init tells the kernel's INIT.
func (h *Taken) Init(request []byte) { h.send(frame(kindInit, request)) }

// Refuse says why the device is not served, at once: nothing else may be sent meanwhile.
func (h *Taken) Refuse(err error) { refuse(h.conn, err) }

func refuse(conn *net.UnixConn, err error) {
	f := failure{Text: err.Error()}
	errors.As(err, &f.Errno)
	if conn.SetWriteDeadline(time.Now().Add(sendTime)) == nil {
		_, _ = conn.Write(frameJSON(kindError, f)) // who has gone needs no reason
	}
}

// Refuse says on a connection of which Take failed why.
func Refuse(conn *net.UnixConn, err error) { refuse(conn, err) }

// Notify has the command write a notification to the device, after those before it. done is
// called with what came of it; nil is that nobody wants to know. It is called by another
// goroutine than that of Notify.
func (h *Taken) Notify(message []byte, done func(error)) {
	h.mu.Lock()
	err := h.err
	if err == nil {
		h.last++
		if done != nil {
			h.waiting[h.last] = done
		}
		h.sendLocked(frame(kindNotify, number(h.last), message))
	}
	h.mu.Unlock()
	if err != nil && done != nil {
		go done(err)
	}
}

func (h *Taken) send(message []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.err == nil {
		h.sendLocked(message)
	}
}

func (h *Taken) sendLocked(message []byte) {
	if h.queued += len(message); h.queued > maxQueued {
		h.err = errSlow
		h.conn.Close() // which Serve finds
		return
	}
	h.queue = append(h.queue, message)
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// Serve carries the conversation until the command ends it, which is no error, or stop is
// closed. It closes the connection.
func (h *Taken) Serve(stop <-chan struct{}) error {
	over := make(chan struct{})
	var sender sync.WaitGroup
	sender.Go(func() { h.sendAll(over) })
	listened := make(chan error, 1)
	go func() { listened <- h.listen() }()
	var err error
	select {
	case err = <-listened:
		h.conn.Close()
	case <-stop:
		h.conn.Close()
		<-listened
	}
	close(over)
	sender.Wait()
	h.giveUp(net.ErrClosed)
	if errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) || errors.Is(err, syscall.ECONNRESET) {
		err = nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if errors.Is(h.err, errSlow) {
		err = errSlow
	}
	return err
}

// giveUp fails all that waits.
func (h *Taken) giveUp(err error) {
	h.mu.Lock()
	if h.err == nil {
		h.err = err
	}
	waiting := h.waiting
	h.waiting, h.queue, h.queued = make(map[uint64]func(error)), nil, 0
	h.mu.Unlock()
	for _, done := range waiting {
		done(err)
	}
}

// sendAll sends what is queued until over is closed.
func (h *Taken) sendAll(over <-chan struct{}) {
	for {
		h.mu.Lock()
		all := net.Buffers(h.queue)
		h.queue, h.queued = nil, 0
		h.mu.Unlock()
		if len(all) > 0 {
			err := h.conn.SetWriteDeadline(time.Now().Add(sendTime))
			if err == nil {
				_, err = all.WriteTo(h.conn)
			}
			if err != nil {
				h.giveUp(err)
				h.conn.Close()
				return
			}
			continue
		}
		select {
		case <-h.wake:
		case <-over:
			return
		}
	}
}

// listen reads what the command says.
func (h *Taken) listen() error {
	for {
		kind, body, err := readMessage(h.conn, maxSmall)
		if err != nil {
			return err
		}
		switch {
		case kind == kindPing && len(body) == 0:
			h.send(frame(kindPong, number(h.latest())))
		case kind == kindDone && len(body) == doneSize:
			h.done(binary.LittleEndian.Uint64(body), syscall.Errno(binary.LittleEndian.Uint32(body[numberSize:])))
		default:
			return fmt.Errorf("a message of kind %q and %d bytes is none of a command's", kind, len(body))
		}
	}
}

// latest is Latest, or 0.
func (h *Taken) latest() uint64 {
	if h.Latest == nil {
		return 0
	}
	return h.Latest()
}

// done tells who waits for a notification what came of it.
func (h *Taken) done(n uint64, errno syscall.Errno) {
	h.mu.Lock()
	f := h.waiting[n]
	delete(h.waiting, n)
	h.mu.Unlock()
	if f == nil {
		return
	}
	if errno != 0 {
		f(errno)
		return
	}
	f(nil)
}
