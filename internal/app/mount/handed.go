package mount

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aggrfs/aggrfs/internal/app/client"
	"github.com/aggrfs/aggrfs/internal/handover"
	"github.com/aggrfs/aggrfs/pkg/fusefs"
)

// A handed is a mount of this process that a running server answers for. The process keeps the
// device: it writes to it what the server asks it to, and when the server goes away it answers
// that there is none, until there is one again.
type handed struct {
	src   *client.Source
	dev   *os.File
	offer handover.Offer
	log   *slog.Logger
	alone bool // the server has a clone of the device, of which what it has read fails when it ends

	ended chan struct{} // closed when keep has returned
	stop  context.CancelFunc
	gone  atomic.Uint64 // how often the server has gone away
	once  sync.Once
}

const (
	// giveTime bounds one attempt to hand a mount over.
	giveTime = 5 * time.Second
	// A server that has gone is looked for again after againSoon, then ever later, up to
	// againLate.
	againSoon = 50 * time.Millisecond
	againLate = 500 * time.Millisecond
)

// hand gives a mounted device to the server and sees to it that some server answers for it
// until Close. The device stays the caller's, and open until then.
func hand(ctx context.Context, src *client.Source, dev *os.File, offer handover.Offer) (*handed, error) {
	h := &handed{src: src, dev: dev, offer: offer, log: src.Log, ended: make(chan struct{})}
	first, err := h.give(ctx)
	if err != nil {
		addr, unknown := src.Address()
		return nil, errors.Join(unknown, src.MountError(addr, err))
	}
	ctx, h.stop = context.WithCancel(context.WithoutCancel(ctx))
	go h.keep(ctx, first)
	waiting, cancel := context.WithTimeout(ctx, giveTime)
	defer cancel()
	select {
	case <-first.Greeted():
		return h, nil
	case <-h.ended:
		return nil, errors.New("the server took the mount and ended")
	case <-waiting.Done():
		return nil, errors.Join(errors.New("the server took the mount and does not answer for it"), h.Close())
	}
}

// give makes one attempt.
func (h *handed) give(ctx context.Context) (*handover.Given, error) {
	ctx, cancel := context.WithTimeout(ctx, giveTime)
	defer cancel()
	conn, err := h.src.Dial(ctx)
	if err != nil {
		return nil, err
	}
	// What a server has read from a clone of its own, and not answered when it ends, fails at
	// once. Some kernels make none of a device that was opened in another user namespace.
	device, err := fusefs.OpenClone(h.dev)
	h.alone = err == nil
	if err == nil {
		defer device.Close()
	} else {
		device = h.dev
	}
	return handover.Give(ctx, conn, device, h.offer)
}

// keep has some server answer for the mount until ctx ends.
func (h *handed) keep(ctx context.Context, now *handover.Given) {
	defer close(h.ended)
	for {
		stop := context.AfterFunc(ctx, func() { now.Close() })
		err := now.Serve(h.write)
		stop()
		if ctx.Err() != nil || h.unmounted() {
			return
		}
		h.gone.Add(1)
		h.log.Warn("the server of the mount has gone: all of it fails until there is one again", "error", err)
		if init := now.Init(); init != nil { // one that has just taken the mount over may not have told it
			h.offer.Init = init
		}
		if now = h.again(ctx, now.Latest()); now == nil {
			return
		}
		h.log.Info("a server answers for the mount again")
	}
}

// stuckTime is how long a notification may take that waits for a request on the mount: longer
// than any is answered in.
const stuckTime = 20 * time.Second

// write writes a notification to the device. Who has read a request from the same device and
// does not answer it keeps that waiting: then all such requests are delivered again.
func (h *handed) write(message []byte) error {
	defer time.AfterFunc(stuckTime, func() { _ = fusefs.Resend(h.dev) }).Stop()
	return fusefs.Write(h.dev, message)
}

// again answers in the place of a server, which had read the request of that number, until there is one again; nil is that ctx, or the
// mount, has ended. It goes on to do so until that server serves: one that hangs takes a
// connection and says nothing.
func (h *handed) again(ctx context.Context, latest uint64) *handover.Given {
	standIn, err := fusefs.StandBy(h.dev, h.offer.Inside)
	if err != nil {
		h.log.Error("nobody answers for the mount", "error", err)
		return nil
	}
	defer func() {
		if err := standIn.Close(); err != nil {
			h.log.Warn("the mount's device is read by somebody else", "error", err)
		}
	}()
	// Of a clone what the server had read fails when it ends; if it has not ended, it answers late.
	if err := fusefs.Resend(h.dev); err != nil && !h.alone {
		standIn.RefuseRead(latest)
	}
	told := ""
	for wait := againSoon; ; wait = min(2*wait, againLate) {
		select {
		case <-ctx.Done():
			return nil
		case <-standIn.Done():
			return nil
		case <-time.After(wait):
		}
		h.offer.Generation++ // a server that was given up may take the offer after all
		next, err := h.give(ctx)
		if err == nil {
			if h.offer.Inside == "" { // to look a name up anew, a kernel takes away what is mounted on it
				_ = fusefs.Revalidate(h.dev) // where the kernel cannot, names last as long as they were told to
			}
			return next
		}
		if why := err.Error(); why != told && ctx.Err() == nil {
			h.log.Warn("no server takes the mount", "error", why)
			told = why
		}
	}
}

// unmounted reports whether the mount is gone, see fuse(4): poll(2) on its device is an error.
func (h *handed) unmounted() bool {
	conn, err := h.dev.SyscallConn()
	if err != nil {
		return true
	}
	gone := false
	err = conn.Control(func(fd uintptr) {
		poll := []unix.PollFd{{Fd: int32(fd)}}
		n, err := unix.Poll(poll, 0)
		gone = err == nil && n == 1 && poll[0].Revents&unix.POLLERR != 0
	})
	return gone || err != nil
}

// Gone is how often the server has gone away.
func (h *handed) Gone() uint64 { return h.gone.Load() }

// Wait waits until nobody answers for the mount any more.
func (h *handed) Wait() { <-h.ended }

// Close ends the serving.
func (h *handed) Close() error {
	h.once.Do(h.stop)
	<-h.ended
	return nil
}
