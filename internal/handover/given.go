package handover

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A Given is a device that a daemon serves for this process.
type Given struct {
	Ready Ready

	conn   *net.UnixConn
	in     *bufio.Reader
	writes sync.Mutex // held for a message

	greeted chan struct{} // closed when init is there

	mu     sync.Mutex
	latest uint64    // guarded by mu; see Latest
	init   []byte    // guarded by mu; what greeted tells
	heard  time.Time // when the daemon said something last; guarded by mu
}

const (
	// pingGap is how often a daemon is asked whether it is there, and pingTime how long it may
	// say nothing.
	pingGap  = time.Second
	pingTime = 5 * time.Second
)

// Give offers a mounted device to the daemon at the other end of conn and waits until that
// serves it, or ctx ends. A daemon that will not is a *Refusal. conn is the Given's, or
// closed. The device stays the caller's.
func Give(ctx context.Context, conn *net.UnixConn, device *os.File, o Offer) (*Given, error) {
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now()) })
	g, err := give(conn, device, o)
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		conn.Close()
		return nil, errors.Join(err, context.Cause(ctx))
	}
	return g, conn.SetDeadline(time.Time{})
}

func give(conn *net.UnixConn, device *os.File, o Offer) (*Given, error) {
	raw, err := device.SyscallConn()
	if err != nil {
		return nil, err
	}
	hello := append([]byte(Magic), frameJSON(kindOffer, o)...)
	sending := raw.Control(func(fd uintptr) {
		var n int
		n, _, err = conn.WriteMsgUnix(hello, unix.UnixRights(int(fd)), nil)
		if err == nil && n < len(hello) {
			_, err = conn.Write(hello[n:])
		}
	})
	if err = errors.Join(sending, err); err != nil {
		return nil, err
	}
	g := &Given{conn: conn, in: bufio.NewReaderSize(conn, 64<<10), heard: time.Now(), greeted: make(chan struct{})}
	kind, body, err := readMessage(g.in, maxMessage)
	switch {
	case err != nil:
		return nil, err
	case kind == kindReady:
		return g, json.Unmarshal(body, &g.Ready)
	case kind != kindError:
		return nil, fmt.Errorf("the server answers an offer with a message of kind %q", kind)
	}
	var f failure
	if err := json.Unmarshal(body, &f); err != nil {
		return nil, err
	}
	return nil, &Refusal{Errno: f.Errno, Text: f.Text}
}

// Init is the kernel's INIT request as the daemon has told it; nil is that it has not yet.
func (g *Given) Init() []byte {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.init
}

// Latest is the number of a request that the daemon had read not long before it said something last; 0
// is that it has told none.
func (g *Given) Latest() uint64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.latest
}

// Greeted is closed when the kernel's INIT has been answered. Serve must run for that.
func (g *Given) Greeted() <-chan struct{} { return g.greeted }

// Close ends the connection, and with it the daemon's serving.
func (g *Given) Close() error { return g.conn.Close() }

// errBlocked is that the kernel does not take what the daemon has for it.
var errBlocked = errors.New("the kernel takes no notifications")

// errSilent is that the daemon answers nothing.
var errSilent = errors.New("the server does not answer")

// Serve carries the conversation until the daemon ends it, does not answer, or Close is
// called. write writes a notification to the device; it may wait as long as the kernel does.
func (g *Given) Serve(write func(message []byte) error) error {
	defer g.conn.Close()
	over := make(chan struct{})
	defer close(over)
	notes := newNotes()
	go g.writeNotes(notes, write, over)
	silent := make(chan struct{})
	go g.ping(over, silent)
	err := g.listen(notes)
	select {
	case <-silent:
		return errSilent
	default:
		return err
	}
}

// A note is a notification to be written.
type note struct {
	number  uint64
	message []byte
}

// notes are the notifications that wait to be written, so that listen does not: it would not
// hear that the daemon is there.
type notes struct {
	mu    sync.Mutex
	queue []note        // guarded by mu
	bytes int           // of their messages
	wake  chan struct{} // holds one
}

func newNotes() *notes { return &notes{wake: make(chan struct{}, 1)} }

// maxWaiting is how many bytes of notifications wait: more is a kernel that takes none.
const maxWaiting = 64 << 20

// add reports whether there was room.
func (n *notes) add(one note) bool {
	n.mu.Lock()
	if n.bytes += len(one.message); n.bytes > maxWaiting {
		n.mu.Unlock()
		return false
	}
	n.queue = append(n.queue, one)
	n.mu.Unlock()
	select {
	case n.wake <- struct{}{}:
	default:
	}
	return true
}

// take is the next one; not ok is that over was closed.
func (n *notes) take(over <-chan struct{}) (one note, ok bool) {
	for {
		n.mu.Lock()
		if len(n.queue) > 0 {
			one = n.queue[0]
			n.queue[0] = note{}
			n.queue = n.queue[1:]
			n.bytes -= len(one.message)
			n.mu.Unlock()
			return one, true
		}
		n.mu.Unlock()
		select {
		case <-n.wake:
		case <-over:
			return note{}, false
		}
	}
}

// listen reads what the daemon says.
func (g *Given) listen(waiting *notes) error {
	for {
		kind, body, err := readMessage(g.in, maxMessage)
		if err != nil {
			return err
		}
		g.mu.Lock()
		g.heard = time.Now()
		if kind == kindPong && len(body) >= numberSize {
			g.latest = binary.LittleEndian.Uint64(body)
		}
		if kind == kindInit && g.init == nil {
			g.init = body
			close(g.greeted)
		}
		g.mu.Unlock()
		if kind == kindNotify && len(body) >= numberSize {
			if !waiting.add(note{binary.LittleEndian.Uint64(body), body[numberSize:]}) {
				return errBlocked
			}
		}
	}
}

// writeNotes writes notifications, one after another, and says what came of each. It is a
// goroutine that nobody waits for: the kernel may let it wait.
func (g *Given) writeNotes(waiting *notes, write func([]byte) error, over <-chan struct{}) {
	for {
		n, ok := waiting.take(over)
		if !ok {
			return
		}
		var errno syscall.Errno
		if err := write(n.message); err != nil && !errors.As(err, &errno) {
			errno = syscall.EIO
		}
		g.say(frame(kindDone, number(n.number), binary.LittleEndian.AppendUint32(nil, uint32(errno))))
	}
}

// say sends a message; who has gone is found by listen.
func (g *Given) say(message []byte) {
	g.writes.Lock()
	defer g.writes.Unlock()
	if g.conn.SetWriteDeadline(time.Now().Add(pingTime)) == nil {
		if _, err := g.conn.Write(message); err != nil {
			g.conn.Close() // it may be half a message
		}
	}
}

// ping asks the daemon whether it is there until over, or it is not.
func (g *Given) ping(over <-chan struct{}, silent chan<- struct{}) {
	tick := time.NewTicker(pingGap)
	defer tick.Stop()
	last := time.Now()
	for {
		select {
		case <-over:
			return
		case now := <-tick.C:
			g.mu.Lock()
			if now.Sub(last) > pingTime/2 {
				g.heard = now // this process was stopped meanwhile
			}
			quiet := now.Sub(g.heard)
			g.mu.Unlock()
			last = now
			if quiet > pingTime {
				close(silent)
				g.conn.Close()
				return
			}
			go g.say(frame(kindPing))
		}
	}
}
