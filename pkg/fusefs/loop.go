package fusefs

import (
	"context"
	"errors"
	"runtime"
	"unsafe"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// greet waits for the mount and answers the kernel's first request, then
// becomes a reader. It holds the post from the beginning.
func (s *Server) greet() {
	if err := s.dev.awaitMount(); err != nil {
		s.leave(err)
		return
	}
	s.reader()
}

// reader is the loop of one goroutine at the device.
func (s *Server) reader() {
	if s.cfg.CPUs != nil {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		if err := unix.SchedSetaffinity(0, s.cfg.CPUs); err != nil {
			s.cfg.Log.Warn("requests are answered on any CPU", "err", err)
		}
	}
	in, out := make([]byte, requestSize), make([]byte, answerSize+4096)
	var last sleeper
	var crowd crowd
	for {
		n, err := s.dev.read(in, &last)
		s.post.take()
		if err != nil {
			s.leave(err)
			return
		}
		if crowd.grows(in[:n], last.waited) && s.post.readers.Load() < maxReaders {
			s.call()
		}
		out = s.carryOut(in[:n], out)
		if !s.post.back() {
			return
		}
	}
}

// leave ends the server: the device has nothing more to say.
func (s *Server) leave(err error) {
	if !errors.Is(err, errStopped) && !errors.Is(err, unix.ENODEV) {
		s.cfg.Log.Error("the FUSE device cannot be read; the mount is dead", "err", err)
	}
	s.hello.Do(func() {}) // it will not be said any more
	s.overOnce.Do(func() { close(s.over) })
}

// carryOut answers one request. It returns the buffer for the next answer.
func (s *Server) carryOut(in, out []byte) []byte {
	if len(in) < headerSize {
		s.cfg.Log.Error("a request of the kernel is cut short", "bytes", len(in))
		return out
	}
	h := (*fuse.InHeader)(unsafe.Pointer(unsafe.SliceData(in)))
	if h.Opcode == opInterrupt {
		s.interrupt(in)
		return out
	}
	if need := answerSize + payload(in); need > len(out) {
		out = make([]byte, need)
	}
	if h.Opcode == opForget || h.Opcode == opBatchForget {
		s.protocol.HandleRequest([][]byte{in}, [][]byte{out})
		return out
	}
	s.received[h.Opcode%opcodes].Add(1)
	s.greeted.Load() // what the INIT has set is read from here on
	r := s.requests.begin(h.Unique, lockedDir(h), caller(h))
	n, status := s.protocol.HandleRequest([][]byte{in}, [][]byte{out})
	if h.Opcode == opInit {
		s.greeted.Store(true)
	}
	if !status.Ok() || n == 0 {
		n = failure(out, h.Unique, unix.EIO)
	}
	mine := r.settle()
	if !mine || !s.answer(h, out[:n]) {
		s.takeBack(h.Opcode, out[:n])
	}
	if h.Opcode == opRead {
		clear(out[:n]) // what a file says is in no buffer longer than it must
	}
	s.requests.finish(r, !mine)
	if h.Opcode == opInit {
		s.hello.Do(func() { close(s.mounted) })
	}
	return out
}

// interrupt ends the context of the request that the kernel names. One that is
// not known may not have begun: EAGAIN makes the kernel say it again, or fails
// with ENOENT if the request is over.
func (s *Server) interrupt(in []byte) {
	if len(in) < int(unsafe.Sizeof(fuse.InterruptIn{})) {
		return
	}
	i := (*fuse.InterruptIn)(unsafe.Pointer(unsafe.SliceData(in)))
	if r := s.requests.of(i.Unique); r != nil {
		r.end(context.Canceled)
		return
	}
	var out [16]byte
	failure(out[:], i.InHeader.Unique, unix.EAGAIN)
	_ = s.dev.write(out[:]) // there is nobody to tell
}
