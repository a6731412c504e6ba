package vfstest

import (
	"context"
	"syscall"
)

// rpcHandle is one exchange: what is written is the request, the first read
// makes the answer.
type rpcHandle struct {
	opened
	file  File
	node  *fileNode
	state chan rpcState // holds one: the lock and what it guards
}

type rpcState struct {
	request, answer []byte
	answered        bool
}

// rpcMax is the longest request that is taken, in bytes.
const rpcMax = 1 << 20

func (h *rpcHandle) lock(ctx context.Context) (rpcState, error) {
	select {
	case s := <-h.state:
		return s, nil
	case <-ctx.Done():
		return rpcState{}, ctx.Err()
	}
}

func (h *rpcHandle) WriteAt(ctx context.Context, p []byte, off int64) (int, error) {
	h.use("write")
	defer h.done()
	if err := h.t.enter(ctx, OpWrite, h.node.o.path); err != nil {
		return 0, err
	}
	s, err := h.lock(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { h.state <- s }()
	switch end := off + int64(len(p)); {
	case off < 0 || s.answered:
		return 0, syscall.EINVAL
	case end > rpcMax:
		return 0, syscall.EFBIG
	case end > int64(len(s.request)):
		s.request = append(s.request, make([]byte, end-int64(len(s.request)))...)
	}
	return copy(s.request[off:], p), nil
}

func (h *rpcHandle) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	h.use("read")
	defer h.done()
	if err := h.t.enter(ctx, OpRead, h.node.o.path); err != nil {
		return 0, err
	}
	s, err := h.lock(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { h.state <- s }()
	if !s.answered {
		answer, err := h.file.RPC(ctx, h.node.who, s.request)
		if err != nil {
			return 0, err
		}
		s.answer, s.answered = answer, true
	}
	if off < 0 || off >= int64(len(s.answer)) {
		return 0, nil
	}
	return copy(p, s.answer[off:]), nil
}
