package main

import (
	"context"
	"log/slog"
	"net"

	"github.com/aggrfs/aggrfs/pkg/ninep"
	"github.com/aggrfs/aggrfs/pkg/vfs"
	"github.com/aggrfs/aggrfs/test/peers/stage"
)

var quiet = slog.New(slog.DiscardHandler)

// A readAt reads an open file.
type readAt func(p []byte, off int64) (int, error)

// A peer is a client that is compared.
type peer interface {
	reader(name string) (read readAt, closeFile func() error, err error)
	file(name string, buf []byte) (int, error) // walk, open, read, clunk
	list(name string) (int, error)             // of a directory, all of it
	close()
}

// serveOurs serves connections of a listener until ctx ends.
func serveOurs(ctx context.Context, l net.Listener) error {
	everybody := func(ninep.Peer, ninep.Claim) (vfs.Identity, error) { return vfs.Root, nil }
	return ninep.NewServer(ninep.ServerConfig{Tree: stage.New(), Identify: everybody, Log: quiet, Limits: ninep.Limits{Connections: 1 << 20, PeerConnections: 1 << 20}}).Serve(ctx, l)
}

// ourClient does with the project's client what is compared.
type ourClient struct {
	client *ninep.Client
	root   vfs.Dir
}

func newOurClient(ctx context.Context, conn net.Conn, cfg ninep.ClientConfig, aname string) (*ourClient, error) {
	cfg.Log = quiet
	client, err := ninep.NewClient(ctx, conn, cfg)
	if err != nil {
		return nil, err
	}
	root, err := client.Attach(ctx, vfs.Root, aname)
	if err != nil {
		return nil, err
	}
	return &ourClient{client, root.(vfs.Dir)}, nil
}

// reader implements peer.
func (c *ourClient) reader(name string) (readAt, func() error, error) {
	ctx := context.Background()
	h, _, err := vfs.OpenPath(ctx, c.root, name)
	if err != nil {
		return nil, nil, err
	}
	return func(p []byte, off int64) (int, error) { return h.ReadAt(ctx, p, off) }, h.Close, nil
}

// file implements peer.
func (c *ourClient) file(name string, buf []byte) (int, error) {
	ctx := context.Background()
	h, _, err := vfs.OpenPath(ctx, c.root, name)
	if err != nil {
		return 0, err
	}
	n, err := h.ReadAt(ctx, buf, 0)
	if e := h.Close(); err == nil {
		err = e
	}
	return n, err
}

// list implements peer.
func (c *ourClient) list(name string) (int, error) {
	ctx := context.Background()
	n, err := c.root.Walk(ctx, name)
	if err != nil {
		return 0, err
	}
	h, err := n.(vfs.Dir).List(ctx)
	if err != nil {
		return 0, err
	}
	defer h.Close()
	count := 0
	var entries []vfs.DirEntry
	for offset := uint64(0); ; {
		if entries, err = h.ReadDir(ctx, offset, entries[:0], 1024); err != nil || len(entries) == 0 {
			return count, err
		}
		count += len(entries)
		offset = entries[len(entries)-1].Next
	}
}

// close implements peer.
func (c *ourClient) close() { c.client.Close() }
