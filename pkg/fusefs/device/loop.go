package device

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
func (c *Conn) greet() {
	if err := c.dev.awaitMount(); err != nil {
		c.leave(err)
		return
	}
	c.reader()
}

// reader is the loop of one goroutine at the device.
func (c *Conn) reader() {
	var pinned bool
	defer func() {
		if pinned {
			c.pinned.Add(-1)
		}
	}()
	in, out := make([]byte, requestSize), make([]byte, answerSize+4096)
	var last sleeper
	var crowd crowd
	for {
		if c.cfg.CPUs != nil && !pinned {
			pinned = c.pin()
		}
		n, err := c.dev.read(in, &last)
		c.post.take()
		if err != nil {
			c.leave(err)
			return
		}
		if c.dev.stopped.Load() { // it was inside read(2) when the others left
			c.dev.refuseOne(in[:n], unix.ENOTCONN)
			c.leave(errStopped)
			return
		}
		if crowd.grows(in[:n], last.waited) && c.post.readers.Load() < maxReaders {
			c.call()
		}
		out = c.carryOut(in[:n], out)
		if !c.post.back() {
			return
		}
	}
}

// pin has the caller, a reader, stay on Config.CPUs, unless enough do. A thread is a thing of
// which the process has a number: readers in requests that block would use it up.
func (c *Conn) pin() bool {
	if c.pinned.Add(1) > maxPinned {
		c.pinned.Add(-1)
		return false
	}
	runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
	if err := unix.SchedSetaffinity(0, c.cfg.CPUs); err != nil {
		c.cfg.Log.Warn("requests are answered on any CPU", "err", err)
	}
	return true
}

// leave ends the server: the device has nothing more to say.
func (c *Conn) leave(err error) {
	if !errors.Is(err, errStopped) && !errors.Is(err, unix.ENODEV) {
		c.cfg.Log.Error("the FUSE device cannot be read; the mount is dead", "err", err)
	}
	c.hello.Do(func() {}) // it will not be said any more
	c.overOnce.Do(func() { close(c.over) })
}

// carryOut answers one request. It returns the buffer for the next answer.
func (c *Conn) carryOut(in, out []byte) []byte {
	errno := check(in, c.greeted.Load()) // what the INIT has set is read from here on
	if errno != 0 {
		c.dev.refuseOne(in, errno)
		return out
	}
	h := (*fuse.InHeader)(unsafe.Pointer(unsafe.SliceData(in)))
	switch h.Opcode {
	case OpInterrupt:
		c.interrupt(in)
		return out
	case OpForget, OpBatchForget:
		c.protocol.HandleRequest([][]byte{in}, [][]byte{out})
		return out
	}
	c.received[h.Opcode].Add(1)
	c.latest.Store(h.Unique)
	if need := answerSize + payload(in); need > len(out) {
		out = make([]byte, need)
	}
	r := c.requests.begin(h.Unique, lockedDir(h), h.Pid, c.cfg.Context(h))
	n, status := c.protocol.HandleRequest([][]byte{in}, [][]byte{out})
	if h.Opcode == opInit && answered(out[:n]) {
		c.init = append([]byte(nil), in...)
		c.greeted.Store(true)
	}
	if !status.Ok() || n == 0 {
		n = failure(out, h.Unique, unix.EIO)
	}
	if c.isOver() && failed(out[:n]) == unix.EINTR {
		n = failure(out, h.Unique, unix.EIO) // it is not the caller who was interrupted
	}
	mine := r.settle()
	if !mine || !c.answer(h, out[:n]) {
		c.takeBack(h, out[:n])
	}
	if h.Opcode == OpRead {
		clear(out[:n]) // what a file says is in no buffer longer than it must
	}
	c.requests.finish(r, !mine)
	if h.Opcode == opInit {
		c.hello.Do(func() { close(c.mounted) })
	}
	return out
}

// isOver reports whether the device is at its end.
func (c *Conn) isOver() bool {
	select {
	case <-c.over:
		return true
	default:
		return false
	}
}

// interrupt ends the context of the request that the kernel names. One that is
// not known may not have begun: EAGAIN makes the kernel say it again, or fails
// with ENOENT if the request is over.
func (c *Conn) interrupt(in []byte) {
	i := (*fuse.InterruptIn)(unsafe.Pointer(unsafe.SliceData(in)))
	if r := c.requests.of(i.Unique); r != nil {
		r.End(context.Canceled)
		return
	}
	var out [16]byte
	failure(out[:], i.InHeader.Unique, unix.EAGAIN)
	_ = c.dev.write(out[:]) // there is nobody to tell
}

// answer writes an answer and reports whether the kernel took it.
func (c *Conn) answer(h *fuse.InHeader, out []byte) bool {
	err := c.dev.write(out)
	if err == nil {
		return true
	}
	// ENOENT: the kernel no longer waits, as in an unmount. It says so too where
	// nothing is lost by it (RELEASE).
	if !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENODEV) && !errors.Is(err, unix.EPERM) {
		c.cfg.Log.Warn("the kernel refuses an answer", "opcode", h.Opcode, "err", err)
	}
	return false
}

// takeBack undoes an answer that the kernel did not get: the references and
// open files in it are known to nobody.
func (c *Conn) takeBack(h *fuse.InHeader, out []byte) {
	if !answered(out) {
		return
	}
	body := out[outHeaderSize:]
	switch h.Opcode {
	case OpLookup:
		if e := (*fuse.EntryOut)(unsafe.Pointer(&body[0])); e.NodeId != 0 {
			c.handler.Forget(e.NodeId, 1)
		}
	case OpReaddirplus:
		if _, entries, err := fuse.ParseDirLookupEntries(body); err == nil {
			for _, e := range entries {
				if e.NodeId != 0 {
					c.handler.Forget(e.NodeId, 1)
				}
			}
		}
	case OpOpen, OpOpendir:
		in := &fuse.ReleaseIn{InHeader: *h, Fh: (*fuse.OpenOut)(unsafe.Pointer(&body[0])).Fh}
		if h.Opcode == OpOpen {
			c.handler.Release(nil, in)
		} else {
			c.handler.ReleaseDir(in)
		}
	}
}
