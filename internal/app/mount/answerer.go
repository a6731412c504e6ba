package mount

import (
	"context"
	"errors"
	"os"

	"github.com/aggrfs/aggrfs/internal/app/client"
	"github.com/aggrfs/aggrfs/pkg/fusefs"
)

// An answerer answers the kernel for a mount: this process by itself, or a running server.
type answerer interface {
	Wait()        // until the mount is gone
	Gone() uint64 // how often nobody answered for a time, since the server had ended
	Close() error
}

// An ownAnswerer is this process.
type ownAnswerer struct {
	*fusefs.Server
	tree *client.Tree
}

// Gone implements answerer.
func (a ownAnswerer) Gone() uint64 {
	if a.tree.Gone == nil {
		return 0
	}
	return a.tree.Gone()
}

// answer has a mounted device answered for. native is the native procfs as the mount's readers
// see it, and inside the name in the tree's root that it is mounted on as well, "" for none.
func answer(ctx context.Context, src *client.Source, t *client.Tree, dev *os.File, cfg fusefs.Config, native, inside string) (answerer, error) {
	if !t.Served() {
		s, err := fusefs.Serve(dev, cfg)
		if err != nil {
			return nil, err
		}
		return ownAnswerer{s, t}, nil
	}
	offer := t.Offer(native, inside)
	offer.AllUsers, offer.Prefetched, offer.Whole = cfg.Shared, cfg.Prefetched != nil, cfg.Whole
	if cfg.CPUs != nil {
		for cpu := range len(cfg.CPUs) * 64 {
			if cfg.CPUs.IsSet(cpu) {
				offer.CPUs = append(offer.CPUs, cpu)
			}
		}
	}
	h, err := hand(ctx, src, dev, offer)
	if err != nil {
		return nil, err
	}
	return h, nil
}

// mountAnswered mounts a tree on a directory, in the place of a mount that is dead if there is
// one, and has it answered for. Closing it takes the mount away. It is nil, and no error, where
// ctx ended before that and nothing is mounted.
func mountAnswered(ctx context.Context, src *client.Source, t *client.Tree, dir string, dead bool, cfg fusefs.Config) (answerer, error) {
	if !t.Served() && !dead {
		s, err := fusefs.Mount(dir, cfg)
		if err != nil {
			return nil, err
		}
		return ownAnswerer{s, t}, nil
	}
	dev, unmount, err := fusefs.MountDevice(dir, cfg, dead)
	if err != nil {
		return nil, err
	}
	a, err := answer(ctx, src, t, dev, cfg, "/proc", "")
	if err != nil {
		dev.Close() // first, so that nobody waits in the mount
		away := unmount()
		if ctx.Err() != nil {
			return nil, away
		}
		return nil, errors.Join(err, away)
	}
	return &mounted{a, dev, unmount}, nil
}

// A mounted is a mount with the device of its own.
type mounted struct {
	answerer
	dev     *os.File
	unmount func() error
}

// Close implements answerer.
func (m *mounted) Close() error {
	err := errors.Join(m.unmount(), m.answerer.Close())
	if closed := m.dev.Close(); !errors.Is(closed, os.ErrClosed) { // which is a device's that this process served
		err = errors.Join(err, closed)
	}
	return err
}
