package fusefs

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"

	"github.com/aggrfs/aggrfs/pkg/fusefs/device"
	"github.com/aggrfs/aggrfs/pkg/vfs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// A Server serves one device until the mount is gone or Close is called. All
// methods may be called concurrently.
type Server struct {
	conn   *device.Conn
	dir    string // where it is mounted; "" if somebody else mounted it
	umount func() error
	fs     *fileSystem
	bye    sync.Once
}

// Mount mounts the tree at dir, an empty directory or any other that the mount
// may hide, and serves it. Who is not root mounts by fusermount3(1), on a
// directory of their own.
func Mount(dir string, cfg Config) (*Server, error) {
	cfg = cfg.withDefaults()
	dev, umount, err := device.Mount(dir, cfg.options())
	if err != nil {
		return nil, err
	}
	s, err := serve(dev, dir, umount, cfg)
	if err != nil {
		return nil, errors.Join(err, umount())
	}
	ctx, cancel := context.WithTimeout(context.Background(), cfg.Deadline)
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

func serve(dev *os.File, dir string, umount func() error, cfg Config) (*Server, error) {
	cfg = cfg.withDefaults()
	d := device.Config{
		Deadline: cfg.Deadline, CPUs: cfg.CPUs, Lent: cfg.Notifier != nil, Log: cfg.Log, MaxRequests: cfg.MaxRequests,
		NoReadahead: !cfg.Whole && cfg.Prefetched == nil, // see fileInode
	}
	if cfg.Account != nil {
		d.Load = cfg.Account.requests
	}
	if cfg.Resume != nil {
		d.Init = cfg.Resume.Init
	}
	if !cfg.NoThreads {
		d.Context = withCaller
	}
	conn, err := device.New(dev, d)
	if err != nil {
		return nil, err
	}
	s := &Server{conn: conn, dir: dir, umount: umount}
	if s.fs, err = newFileSystem(cfg, conn); err != nil {
		conn.Abandon()
		return nil, err
	}
	if err := conn.Serve(s.fs); err != nil {
		return nil, err
	}
	return s, nil
}

// withCaller is what the tree is told of who made a request.
func withCaller(h *fuse.InHeader) context.Context {
	return vfs.WithCaller(context.Background(), vfs.Caller{TID: h.Pid})
}

// Latest is the number of a request that was among the last to be read, see [device.StandIn].
func (s *Server) Latest() uint64 { return s.conn.Latest() }

// WaitMounted waits until the device is mounted and its kernel has been
// answered.
func (s *Server) WaitMounted(ctx context.Context) error { return s.conn.WaitMounted(ctx) }

// Init is the INIT request as the kernel sent it, once the device is mounted: what the next
// server of the mount is to be told, see Resume.
func (s *Server) Init() []byte { return s.conn.Init() }

// Wait waits until the mount is gone, whoever took it away.
func (s *Server) Wait() { s.conn.Wait() }

// Stuck is how many calls into the tree have outlived their deadline and are
// still going on.
func (s *Server) Stuck() int { return s.conn.Stuck() }

// Left is closed when the server has ended and nothing of it is left: no call into the tree that
// does not end, and no reader inside read(2), where somebody else who has the device open has
// made it block. Those end with the mount.
func (s *Server) Left() <-chan struct{} { return s.conn.Left() }

// Close unmounts what Mount mounted, from under its users where it is busy,
// ends all requests and waits for the server's goroutines. What is left behind,
// calls into the tree that ignore their context, is an error that says how
// many. Closing again waits and returns nil.
func (s *Server) Close() error {
	var err error
	s.bye.Do(func() {
		if s.umount != nil {
			err = s.umount()
		}
	})
	return errors.Join(err, s.conn.Close())
}
