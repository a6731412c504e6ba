package aggregate

import (
	"context"

	"github.com/aggrfs/aggrfs/pkg/snapshot"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// askedFile is a leaf's rpc file that tells of each request before it is made: a front
// end keeps it open, and is not seen to walk to it again.
type askedFile struct {
	vfs.File
	asked func(ctx context.Context, request []byte) error
}

// Open implements vfs.File.
func (f askedFile) Open(ctx context.Context) (vfs.Handle, error) {
	h, err := f.File.Open(ctx)
	if err != nil {
		return nil, err
	}
	return askedRPC{h.(snapshot.RPC), f.asked}, nil
}

type askedRPC struct {
	snapshot.RPC
	asked func(ctx context.Context, request []byte) error
}

// WriteAt implements vfs.Writer.
func (h askedRPC) WriteAt(ctx context.Context, p []byte, off int64) (int, error) {
	if off == 0 {
		if err := h.asked(ctx, p); err != nil {
			return 0, err
		}
	}
	return h.RPC.WriteAt(ctx, p, off)
}

// tellRequests is n, which was found under that name, with asked told of each request if
// it is an rpc file.
func tellRequests(n vfs.Node, name string, asked func(ctx context.Context, request []byte) error) vfs.Node {
	if f, ok := n.(vfs.File); ok && name == snapshot.SweepFile {
		return askedFile{f, asked}
	}
	return n
}
