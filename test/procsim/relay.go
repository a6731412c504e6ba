package procsim

import (
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
)

// A mode is how a node that can fail is.
type mode int

const (
	well  mode = iota
	hangs      // nothing passes; connections are accepted
	dies       // connections end in the middle of a long answer
	raves      // long answers are garbage
)

// longAnswer is how long an answer is that a node dies in, in bytes: listings and
// probes are shorter.
const longAnswer = 2048

// A relay stands between a front end and a node, and makes the node fail.
type relay struct {
	listener net.Listener
	behind   string
	work     sync.WaitGroup

	mu      sync.Mutex
	changed *sync.Cond
	mode    mode                  // guarded by mu
	closed  bool                  // guarded by mu
	conns   map[net.Conn]struct{} // guarded by mu
}

func newRelay(path, behind string) (*relay, error) {
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	r := &relay{listener: l, behind: behind, conns: make(map[net.Conn]struct{})}
	r.changed = sync.NewCond(&r.mu)
	r.work.Go(r.accept)
	return r, nil
}

func (r *relay) set(m mode) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mode = m
	r.changed.Broadcast()
}

// now is the mode, once it lets anything pass; not ok when the relay is closed.
func (r *relay) now() (m mode, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.mode == hangs && !r.closed {
		r.changed.Wait()
	}
	return r.mode, !r.closed
}

func (r *relay) accept() {
	for {
		front, err := r.listener.Accept()
		if err != nil {
			return
		}
		if !r.keep(front) {
			return
		}
		r.work.Go(func() { r.serve(front) })
	}
}

// keep remembers a connection, to be closed with the relay.
func (r *relay) keep(c net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		c.Close()
		return false
	}
	r.conns[c] = struct{}{}
	return true
}

func (r *relay) drop(c net.Conn) {
	c.Close()
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.conns, c)
}

// serve passes on what comes both ways until either side ends.
func (r *relay) serve(front net.Conn) {
	defer r.drop(front)
	back, err := net.Dial("unix", r.behind)
	if err != nil || !r.keep(back) {
		return
	}
	defer r.drop(back)
	r.work.Go(func() {
		_ = r.pass(back, front, false)
		front.Close()
		back.Close()
	})
	_ = r.pass(front, back, true)
}

var errDied = errors.New("the node died")

// pass passes on frames of 9P.
func (r *relay) pass(to io.Writer, from io.Reader, answers bool) error {
	var size [4]byte
	for {
		if _, err := io.ReadFull(from, size[:]); err != nil {
			return err
		}
		n := binary.LittleEndian.Uint32(size[:])
		if n < 7 || n > 2<<20 {
			return io.ErrUnexpectedEOF
		}
		frame := make([]byte, n)
		copy(frame, size[:])
		if _, err := io.ReadFull(from, frame[4:]); err != nil {
			return err
		}
		m, ok := r.now()
		switch {
		case !ok:
			return errDied
		case answers && n > longAnswer && m == dies:
			_, _ = to.Write(frame[:n/2])
			return errDied
		case answers && n > longAnswer && m == raves:
			for i := 11; i < len(frame); i++ { // behind the head of an Rread
				frame[i] = byte(rand.Uint32())
			}
		}
		if _, err := to.Write(frame); err != nil {
			return err
		}
	}
}

func (r *relay) close() {
	r.listener.Close()
	r.mu.Lock()
	r.closed = true
	for c := range r.conns {
		c.Close()
	}
	r.changed.Broadcast()
	r.mu.Unlock()
	r.work.Wait()
}
