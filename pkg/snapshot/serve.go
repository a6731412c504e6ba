package snapshot

import (
	"context"
	"fmt"
	"log/slog"
	"syscall"

	"github.com/aggrfs/aggrfs/internal/rpcfile"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// SweepFile is the name of the rpc file in a snapshot tree.
const SweepFile = "sweep"

// A Source makes the answer to a request. It is called concurrently; the answer is
// the caller's.
type Source func(ctx context.Context, req Request) ([]byte, error)

// NewDir makes the root of a snapshot tree: a directory with one rpc file. A request
// is written, from offset 0 on; the first read has take make the answer. When that has
// been read to its end it is given up, and the file is empty until another request is
// written.
// attr is the directory's. Requests that are refused are logged at Debug.
func NewDir(attr vfs.Attr, log *slog.Logger, take Source) vfs.Dir {
	s := &rpcfile.Server{Most: MaxRequest, Recycle: recycle, Answer: func(ctx context.Context, request []byte) ([]byte, error) {
		return answer(ctx, log, request, take)
	}}
	return s.Dir(attr, SweepFile)
}

// An Own makes the answers of one open rpc file, and may remember them: they are on the account of
// who has it open.
type Own interface {
	// Answer is a [Source]. It and Forget are called by one at a time.
	Answer(ctx context.Context, req Request) ([]byte, error)
	// Forget gives up what is remembered. It is called at the end, too.
	Forget()
	// Holds is how many bytes are remembered. It may be called at any time.
	Holds() int64
}

// own is an Own whose requests are to be decoded.
type own struct {
	Own
	log *slog.Logger
}

// Answer implements rpcfile.Own.
func (o own) Answer(ctx context.Context, request []byte) ([]byte, error) {
	return answer(ctx, o.log, request, o.Own.Answer)
}

// NewOwnDir is NewDir where each open file has a source of its own, which open makes.
func NewOwnDir(attr vfs.Attr, log *slog.Logger, open func() Own) vfs.Dir {
	s := &rpcfile.Server{Most: MaxRequest, Recycle: recycle, Open: func() rpcfile.Own { return own{open(), log} }}
	return s.Dir(attr, SweepFile)
}

func answer(ctx context.Context, log *slog.Logger, request []byte, take Source) ([]byte, error) {
	req, err := DecodeRequest(request)
	if err != nil {
		// The requester is told: no line for admins.
		log.Debug("snapshot request refused", "err", err)
		return nil, fmt.Errorf("%w: %w", syscall.EINVAL, err)
	}
	return take(ctx, req)
}
