package aggregate

import (
	"context"
	"fmt"
	"syscall"

	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// Walk implements vfs.Dir.
func (d *remoteDir) Walk(ctx context.Context, name string) (vfs.Node, error) {
	native, ok := d.nativeName(name)
	if !ok {
		return nil, syscall.ENOENT
	}
	if n := d.known(name, native); n != nil {
		return n, nil
	}
	return d.child(ctx, name, native)
}

// List implements vfs.Dir.
func (d *remoteDir) List(ctx context.Context) (vfs.DirHandle, error) {
	return vfs.NewListing(func(ctx context.Context) ([]vfs.DirEntry, error) {
		all, err := d.list(ctx)
		if err != nil {
			return nil, d.told(err)
		}
		return d.mergedNames(all), nil
	}), nil
}

// maxEntries bounds the entries of one directory that a leaf can make the front
// end hold: more than a kernel has pids.
const maxEntries = gpid.MaxPID + maxOthers

// maxOthers is how many entries a root has beside its processes, at most.
const maxOthers = 4096

// list reads the whole directory on the node, native names.
func (r *remote) list(ctx context.Context) (all []vfs.DirEntry, err error) {
	found, _, err := r.walk(ctx)
	if err != nil {
		return nil, err
	}
	dir, ok := found.(vfs.Dir)
	if !ok {
		return nil, syscall.ENOTDIR
	}
	most := maxEntries
	if len(r.path) == 0 && !r.n.cluster {
		most = min(most, r.n.maxProcs+maxOthers)
	}
	err = r.n.call(ctx, r.v.identity(), func(ctx context.Context, _ vfs.Dir) error {
		h, err := dir.List(ctx)
		if err != nil {
			return err
		}
		defer h.Close()
		for offset := uint64(0); ; {
			n := len(all)
			if all, err = h.ReadDir(ctx, offset, all, 1024); err != nil || len(all) == n {
				return err
			}
			next := all[len(all)-1].Next
			if next <= offset || len(all) > most {
				return fmt.Errorf("node %s: a directory without end, or of more than %d entries: %w", r.n.name, most, syscall.EIO)
			}
			offset = next
		}
	})
	return all, err
}
