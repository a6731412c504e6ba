package fusefs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aggrfs/aggrfs/pkg/vfs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// A Server serves one device until the mount is gone or Close is called. All
// methods may be called concurrently.
//
// Who waits for whom: the readers (loop.go), the watch (watch.go) and the pruner
// (prune.go) are the server's goroutines; end waits for them, bounded, since a reader can be in a
// call of the tree that ignores its context.
type Server struct {
	cfg      Config
	dev      *device
	dir      string // where it is mounted; "" if somebody else mounted it
	umount   func(dir string) error
	protocol *fuse.ProtocolServer
	fs       *fileSystem
	requests requests
	received [opcodes]atomic.Uint64 // requests by opcode
	// greeted is set when the INIT has been carried out, before it is answered. No
	// other request comes sooner, which the kernel knows and Go's memory model
	// does not: it is loaded before each.
	greeted atomic.Bool

	post                 post
	readers              sync.WaitGroup
	calling              sync.Mutex    // held where a reader is started
	closing              bool          // no reader is started any more; guarded by calling
	mounted              chan struct{} // closed when the kernel has said hello
	over                 chan struct{} // closed when the device is at its end
	ended                chan struct{} // closed when the device is closed too
	hello, overOnce, bye sync.Once
}

// Mount mounts the tree at dir, an empty directory or any other that the mount
// may hide, and serves it. Who is not root mounts by fusermount3(1), on a
// directory of their own.
func Mount(dir string, cfg Config) (*Server, error) {
	cfg = cfg.withDefaults()
	mount, umount := directly, unmount
	if os.Geteuid() != 0 {
		mount, umount = byFusermount, unmountByFusermount
	}
	dev, err := mount(dir, cfg)
	if err != nil {
		return nil, err
	}
	s, err := serve(dev, dir, umount, cfg)
	if err != nil {
		return nil, errors.Join(err, umount(dir))
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.cfg.Deadline)
	defer cancel()
	if err := s.WaitMounted(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	s.settlePoll()
	return s, nil
}

// settlePoll has the kernel ask for POLL, which it does once and is told that
// there is none. Go's runtime polls each file that it opens, on a thread that it
// then takes for running: a Go program that opens files on a mount of its own
// could find all of them waiting for itself. Who may not open files on this
// mount needs none of it.
func (s *Server) settlePoll() {
	const any = ".go-fuse-epoll-hack" // go-fuse answers for it, in any tree
	fd, err := unix.Open(filepath.Join(s.dir, any), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	_, _ = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
}

// Serve serves a device that is mounted, or will be, by somebody else. It owns
// dev from here on, also when it fails.
func Serve(dev *os.File, cfg Config) (*Server, error) { return serve(dev, "", nil, cfg) }

func serve(dev *os.File, dir string, umount func(string) error, cfg Config) (*Server, error) {
	cfg = cfg.withDefaults()
	d, err := newDevice(dev, cfg.CPUs)
	if err != nil {
		return nil, err
	}
	s := &Server{
		cfg: cfg, dev: d, dir: dir, umount: umount,
		mounted: make(chan struct{}), over: make(chan struct{}), ended: make(chan struct{}),
	}
	s.post.init()
	s.requests.init(cfg.Deadline)
	if s.fs, err = newFileSystem(cfg, d, &s.requests); err != nil {
		d.close()
		return nil, err
	}
	s.protocol = newProtocol(s.fs, cfg.Log)
	s.post.arrive()
	s.readers.Go(s.greet)
	go s.end()
	return s, nil
}

// WaitMounted waits until the device is mounted and its kernel has been
// answered.
func (s *Server) WaitMounted(ctx context.Context) error {
	select {
	case <-s.mounted:
		return nil
	case <-s.over:
		return errors.New("the FUSE device was closed before it was mounted")
	case <-ctx.Done():
		return fmt.Errorf("waiting for the mount: %w", context.Cause(ctx))
	}
}

// Wait waits until the mount is gone, whoever took it away.
func (s *Server) Wait() { <-s.ended }

// Stuck is how many calls into the tree have outlived their deadline and are
// still going on.
func (s *Server) Stuck() int { return s.requests.stuck() }

// Close unmounts what Mount mounted, from under its users where it is busy,
// ends all requests and waits for the server's goroutines. What is left behind,
// calls into the tree that ignore their context, is an error that says how
// many. Closing again waits and returns nil.
func (s *Server) Close() error {
	var err error
	s.bye.Do(func() {
		if s.dir != "" {
			err = s.umount(s.dir)
		}
		s.dev.stop()
		<-s.ended
		if n := s.requests.running(); n > 0 {
			err = errors.Join(err, fmt.Errorf("%d calls into the tree do not end", n))
		}
	})
	<-s.ended
	return err
}

// endGrace is how long Close waits for calls that were told to end.
const endGrace = time.Second

// end waits for the end of the device and takes everything down.
func (s *Server) end() {
	defer close(s.ended)
	stop := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() { s.watch(stop) })
	pruned := make(chan struct{})
	go func() {
		defer close(pruned)
		var notifying sync.WaitGroup
		notifying.Go(func() { s.fs.pruner(stop) })
		if s.fs.prefetched != nil {
			notifying.Go(func() { s.fs.prefetched.run(stop) })
		}
		notifying.Wait()
	}()
	<-s.over
	s.dev.stop() // the other readers, too
	s.requests.cancelAll(context.Canceled)
	s.calling.Lock()
	s.closing = true // before they are waited for: the watch might start one when none is left
	s.calling.Unlock()
	done := make(chan struct{})
	go func() { s.readers.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(endGrace):
		s.cfg.Log.Warn("calls into the tree do not end after the unmount", "calls", s.requests.running())
		s.abandonAll()
	}
	close(stop)
	watch.Wait()
	s.refuseUntil(pruned)
	s.dev.close()
	s.fs.closeAll()
}

// refuseGap is how often requests are refused while the pruner ends.
const refuseGap = 2 * time.Millisecond

// refuseUntil refuses what nobody has read, until the pruner has ended, which
// can be waiting for a directory that one of these requests keeps locked: with
// all of them answered its wait is over.
func (s *Server) refuseUntil(pruned <-chan struct{}) {
	for {
		s.dev.refuse()
		select {
		case <-pruned:
			return
		case <-time.After(refuseGap):
		}
	}
}

// caller is who made a request, as the tree is told.
func caller(h *fuse.InHeader) vfs.Caller { return vfs.Caller{TID: h.Pid} }
