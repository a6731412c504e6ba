package aggregate

import (
	"context"

	"github.com/aggrfs/aggrfs/pkg/snapshot"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// spiedFile is a leaf's rpc file that tells of each request before it is made: a front
// end keeps it open, and is not seen to walk to it again.
type spiedFile struct {
	vfs.File
	spy func(ctx context.Context, request []byte) error
}

// Open implements vfs.File.
func (f spiedFile) Open(ctx context.Context) (vfs.Handle, error) {
	h, err := f.File.Open(ctx)
	if err != nil {
		return nil, err
	}
	return spiedRPC{h.(snapshot.RPC), f.spy}, nil
}

type spiedRPC struct {
	snapshot.RPC
	spy func(ctx context.Context, request []byte) error
}

// WriteAt implements vfs.Writer.
func (h spiedRPC) WriteAt(ctx context.Context, p []byte, off int64) (int, error) {
	if off == 0 {
		if err := h.spy(ctx, p); err != nil {
			return 0, err
		}
	}
	return h.RPC.WriteAt(ctx, p, off)
}

// tellRequests is n, which was found under that name, with spy told of each request if
// it is an rpc file.
func tellRequests(n vfs.Node, name string, spy func(ctx context.Context, request []byte) error) vfs.Node {
	if f, ok := n.(vfs.File); ok && name == snapshot.SweepFile {
		return spiedFile{f, spy}
	}
	return n
}
