package device

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// A Handler is what requests are answered by: go-fuse's methods, and what belongs to the
// same mount beside them. What an answer names that the kernel did not take is given
// back by Forget, Release and ReleaseDir.
type Handler interface {
	fuse.RawFileSystem
	// Run works beside the conversation until stop. It may write notifications, and is
	// waited for with the requests refused that one of them could be waiting for.
	Run(stop <-chan struct{})
	// Close is called last: nothing will be released any more.
	Close()
}

// A Config says how a device is served.
type Config struct {
	// Deadline is when a request's context ends.
	Deadline time.Duration
	// CPUs are where the device is read and its requests are answered; nil is anywhere.
	CPUs *unix.CPUSet
	// MaxRequests is how many requests may be in flight, and Load how many on this device and
	// others together; 0 and nil are no bound. Beyond it requests wait in the kernel's queue,
	// but one of each device is always carried out.
	MaxRequests int
	Load        *Load
	// Context is what a request's context has its values from; nil is none.
	Context func(*fuse.InHeader) context.Context
	// Init is the INIT request that a former server of the device was sent; nil if there
	// was none.
	Init []byte
	// NoReadahead has the kernel ask for the pages of a file one after another.
	NoReadahead bool
	// Lent: the device is another's, who has it answered for by somebody else after Close.
	Lent bool
	Log  *slog.Logger
}

// A Conn serves one device until its mount is gone or Close is called. All methods may be
// called concurrently.
//
// Who waits for whom: the readers (loop.go), the watch (watch.go) and the handler's Run are
// its goroutines; end waits for them, bounded, since a reader can be in a call that ignores
// its context, or in a read(2) that somebody else has made block.
type Conn struct {
	cfg      Config
	dev      *descriptor
	handler  Handler
	protocol *fuse.ProtocolServer
	requests requests
	received [opcodes]atomic.Uint64 // requests by opcode
	latest   atomic.Uint64          // see Latest
	init     []byte                 // the INIT request, see greeted
	// greeted is set when the INIT has been carried out, before it is answered. No
	// other request comes sooner, which the kernel knows and Go's memory model
	// does not: it is loaded before each.
	greeted atomic.Bool

	post                 post
	readers              sync.WaitGroup
	calling              sync.Mutex    // held where a reader is started
	closing              bool          // no reader is started any more; guarded by calling
	pinned               atomic.Int32  // readers with a thread of their own, see pin
	mounted              chan struct{} // closed when the kernel has said hello
	over                 chan struct{} // closed when the device is at its end
	ended                chan struct{} // closed when that has been dealt with
	left                 chan struct{} // closed when no reader is left either
	hello, overOnce, bye sync.Once
}

// New prepares the conversation on a device that is mounted, or will be. It owns dev from
// here on, also when it fails.
func New(dev *os.File, cfg Config) (*Conn, error) {
	if cfg.Init != nil {
		if err := checkInit(cfg.Init); err != nil {
			dev.Close()
			return nil, err
		}
	}
	if cfg.Context == nil {
		cfg.Context = func(*fuse.InHeader) context.Context { return context.Background() }
	}
	d, err := newDescriptor(dev, cfg.CPUs)
	if err != nil {
		return nil, err
	}
	c := &Conn{cfg: cfg, dev: d, mounted: make(chan struct{}), over: make(chan struct{}), ended: make(chan struct{}), left: make(chan struct{})}
	c.post.init()
	c.requests.init(cfg.Deadline, cfg.Load)
	return c, nil
}

// Abandon closes a device that is not going to be served.
func (c *Conn) Abandon() { c.dev.close() }

// Serve begins to answer requests.
func (c *Conn) Serve(h Handler) error {
	c.handler, c.protocol = h, newProtocol(h, c.cfg)
	first := c.greet
	if c.cfg.Init != nil {
		if err := c.resume(); err != nil {
			c.dev.close()
			return err
		}
		first = c.reader
	}
	c.post.arrive()
	c.readers.Go(first)
	go c.end()
	return nil
}

// resume has the handler's protocol know what was negotiated with a former server.
func (c *Conn) resume() error {
	out := make([]byte, answerSize)
	n, status := c.protocol.HandleRequest([][]byte{c.cfg.Init}, [][]byte{out})
	if !status.Ok() || !answered(out[:n]) {
		return errors.New("the recorded INIT request of the mount is not one that can be answered")
	}
	if err := c.dev.watch(c.dev.fd); err != nil {
		return os.NewSyscallError("watch the FUSE device", err)
	}
	c.init = c.cfg.Init
	c.greeted.Store(true)
	c.hello.Do(func() { close(c.mounted) })
	return nil
}

// WaitMounted waits until the device is mounted and its kernel has been
// answered.
func (c *Conn) WaitMounted(ctx context.Context) error {
	select {
	case <-c.mounted:
		return nil
	case <-c.over:
		return errors.New("the FUSE device was closed before it was mounted")
	case <-ctx.Done():
		return fmt.Errorf("waiting for the mount: %w", context.Cause(ctx))
	}
}

// Init is the INIT request as the kernel sent it; nil before the device is mounted.
func (c *Conn) Init() []byte {
	if !c.greeted.Load() {
		return nil
	}
	return c.init
}

// Wait waits until the mount is gone, whoever took it away.
func (c *Conn) Wait() { <-c.ended }

// Request is the context of the request of that number; nil if it is over.
func (c *Conn) Request(unique uint64) *Request { return c.requests.of(unique) }

// Slow reports whether the kernel has waited longer than that for an answer about a
// directory, which it keeps locked meanwhile.
func (c *Conn) Slow(dir uint64, than time.Duration) bool { return c.requests.slow(dir, than) }

// Notify gives the kernel a notification of that code.
func (c *Conn) Notify(code int32, body, payload []byte) error {
	h := notificationHead(code, len(body)+len(payload))
	return c.dev.write(BytesOf(&h), body, payload)
}

// Received is how many requests of that opcode have been carried out, but for those that
// have no answer.
func (c *Conn) Received(op uint32) uint64 { return c.received[op%opcodes].Load() }

// Running is how many calls into the handler are under way.
func (c *Conn) Running() int { return c.requests.running() }

// Stuck is how many of them have outlived their deadline and are still going on.
func (c *Conn) Stuck() int { return c.requests.stuck() }

// Left is closed when no reader is left of a device that is no longer served. Until then
// one may be inside a call that does not end, or inside read(2), as it can be where others have
// the device open.
func (c *Conn) Left() <-chan struct{} { return c.left }

// Close ends all requests and waits for the goroutines. What is left behind, calls into the
// handler that ignore their context, is an error that says how many. Closing again waits and
// returns nil.
func (c *Conn) Close() error {
	var err error
	c.bye.Do(func() {
		c.dev.stop()
		c.leave(errStopped) // a reader that read(2) does not let go says nothing
		<-c.ended
		if n := c.requests.running(); n > 0 {
			err = fmt.Errorf("%d calls into the tree do not end", n)
		}
	})
	<-c.ended
	return err
}

// endGrace is how long Close waits for calls that were told to end.
const endGrace = time.Second

// end waits for the end of the device and takes everything down.
func (c *Conn) end() {
	defer close(c.ended)
	stop := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() { c.watch(stop) })
	ran := make(chan struct{})
	go func() {
		defer close(ran)
		c.handler.Run(stop)
	}()
	<-c.over
	c.dev.stop() // the other readers, too
	c.requests.cancelAll(context.Canceled)
	c.calling.Lock()
	c.closing = true // before they are waited for: the watch might start one when none is left
	c.calling.Unlock()
	if !within(endGrace, &c.readers) {
		if n := c.requests.running(); n > 0 {
			c.cfg.Log.Warn("calls into the tree do not end after the unmount", "calls", n)
		}
		c.abandonAll()
	}
	close(stop)
	watch.Wait()
	var refuser sync.WaitGroup
	refuser.Go(func() { c.refuseUntil(ran) })
	<-ran
	go func() {
		refuser.Wait()
		c.readers.Wait()
		close(c.left)
	}()
	c.dev.closeAfter(within(endGrace, &refuser), c.left)
	c.handler.Close()
}

// within reports whether a group has ended within a time.
func within(d time.Duration, group *sync.WaitGroup) bool {
	done := make(chan struct{})
	go func() { group.Wait(); close(done) }()
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-done:
		return true
	case <-t.C:
		return false
	}
}

// refuseGap is how often requests are refused while the handler's Run ends.
const refuseGap = 2 * time.Millisecond

// refuseUntil refuses what nobody has read, until the handler's Run has ended, which
// can be waiting in a notification for a directory that one of these requests keeps locked:
// with all of them answered its wait is over.
func (c *Conn) refuseUntil(ran <-chan struct{}) {
	if c.cfg.Lent { // and nobody here writes notifications
		<-ran
		return
	}
	for {
		c.dev.refuse(unix.ENOTCONN)
		select {
		case <-ran:
			return
		case <-time.After(refuseGap):
		}
	}
}

// Latest is the number of a request that was among the last to be read, for [StandIn.RefuseRead]; 0 is
// that none was.
func (c *Conn) Latest() uint64 { return c.latest.Load() }
