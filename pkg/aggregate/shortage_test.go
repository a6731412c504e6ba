package aggregate

import (
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/aggrfs/aggrfs/pkg/procfs9p"
	"github.com/aggrfs/aggrfs/pkg/snapshot"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// shortUpstream is a leaf whose snapshots fail, or lack processes.
type shortUpstream struct {
	*leafUpstream
	fails, lacks *atomic.Int32
}

func (u shortUpstream) Attach(ctx context.Context, who vfs.Identity, aname string) (vfs.Node, error) {
	if aname != procfs9p.SnapshotName {
		return u.leafUpstream.Attach(ctx, who, aname)
	}
	return snapshot.NewDir(vfs.Attr{ID: 1, Mode: uint32(vfs.TypeDir) | 0o500}, slog.New(slog.DiscardHandler), func(ctx context.Context, req snapshot.Request) ([]byte, error) {
		if errno := syscall.Errno(u.fails.Load()); errno != 0 {
			return nil, errno
		}
		var b snapshot.Builder
		b.Reset(nil, snapshot.Facts{Hz: 100, PageSize: 4096, PIDMax: 1 << 22}, req.Files)
		b.Skip(2, syscall.Errno(u.lacks.Load()))
		t, err := b.Table()
		if err != nil {
			return nil, err
		}
		req.Remember = false
		return t.Answer(req, 0), nil
	}), nil
}

// What a node's leaf could not read, and what helps, is in the node's row.
func TestShortageInTheRow(t *testing.T) {
	var fails, lacks atomic.Int32
	c := startCluster(t, Config{
		Head: NodeConfig{Name: "head", Dial: dialLeaf},
		Nodes: []NodeConfig{{Name: "n1", Dial: func(ctx context.Context) (Upstream, error) {
			up, err := dialLeaf(ctx)
			if err != nil {
				return nil, err
			}
			return shortUpstream{up.(*leafUpstream), &fails, &lacks}, nil
		}}},
	})
	root := rootOf(t, c, vfs.Root, "")
	row := func() string {
		for line := range strings.Lines(read(t, root, "cluster", "nodes")) {
			if strings.HasPrefix(line, "n1 ") {
				return line
			}
		}
		return ""
	}
	for _, test := range []struct {
		fails, lacks syscall.Errno
		want         []string
	}{
		{syscall.EMFILE, 0, []string{"too many open files", "LimitNOFILE="}},
		{syscall.ENFILE, 0, []string{"fs.file-max"}},
		{syscall.ENOMEM, 0, []string{"cannot allocate memory"}},
		{syscall.EIO, 0, []string{"snapshot", "input/output error"}},
		{0, syscall.EACCES, []string{"2 processes could not be read: permission denied"}},
		{0, syscall.ETIMEDOUT, []string{"2 processes could not be read in time"}},
		{0, syscall.EFBIG, []string{"2 processes are missing", "no room"}},
	} {
		fails.Store(int32(test.fails))
		lacks.Store(int32(test.lacks))
		for _, want := range test.want {
			eventually(t, want, func() bool { return strings.Contains(row(), want) })
		}
	}
}
