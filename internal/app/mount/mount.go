// Package mount puts the tree before programs: as the /proc of one command (Exec), or on a
// directory (Mount), by FUSE or by the kernel's own 9P client.
package mount

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"

	"github.com/aggrfs/aggrfs/internal/app/client"
	"github.com/aggrfs/aggrfs/internal/app/exit"
	"github.com/aggrfs/aggrfs/internal/app/gaps"
	"github.com/aggrfs/aggrfs/internal/app/mountserver"
	"github.com/aggrfs/aggrfs/pkg/fusefs"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// Options are how Mount mounts.
type Options struct {
	Type       string // "fuse" or "9p"
	Shared     bool   // for all users, each with their own view
	Prefetched bool   // the tree has only what sweeps bring
}

// Mount mounts the tree on a directory, and returns once it is unmounted again or, after
// SIGINT or SIGTERM, has been unmounted.
func Mount(ctx context.Context, src *client.Source, dir string, o Options) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	switch {
	case o.Type != "fuse" && o.Type != "9p":
		return exit.Usagef("--type %s: the type is fuse or 9p", o.Type)
	case o.Shared && o.Prefetched:
		return exit.Usagef("--prefetched cannot be combined with --allow-other: the kernel caches one content of a file for all users, and users may see different ones")
	case o.Prefetched && o.Type == "9p":
		return exit.Usagef("--prefetched needs --type fuse: of a mount with --type 9p the kernel caches nothing")
	case o.Shared && src.IsRemote():
		return exit.Usagef("--allow-other: a server on another machine knows the one user of the certificate; mount for all users on the machine that it runs on")
	case o.Type == "9p" && os.Geteuid() != 0:
		return errors.New("only root can run mount --type 9p")
	case o.Type == "9p":
		return byKernel(ctx, src, dir, o.Shared)
	case o.Shared && os.Geteuid() != 0:
		return errors.New("only root can run mount --allow-other")
	}
	return byFUSE(ctx, src, dir, o)
}

func byFUSE(ctx context.Context, src *client.Source, dir string, o Options) error {
	dead := isOurDead(dir)
	if !dead {
		if err := checkMountPoint(dir); err != nil {
			return err
		}
	}
	tree, err := src.Open(ctx, "/proc")
	if err != nil {
		return err
	}
	defer tree.Close()
	if err := tellLacks(ctx, src, tree); err != nil {
		return err
	}
	cfg, err := fuseConfig(src.Env, tree, o.Prefetched)
	if err != nil {
		return err
	}
	if o.Shared {
		cfg.Shared, cfg.Attach = true, func(ctx context.Context, who vfs.Identity) (vfs.Node, error) { return tree.RootAs(ctx, who) }
		cfg.Accounts = mountserver.Shared(mountserver.Limits{}) // where this process serves it
	}
	answers, err := mountAnswered(ctx, src, tree, dir, dead, cfg)
	if answers == nil {
		return err
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		answers.Wait()
	}()
	src.Log.Info("mounted", "dir", dir)
	select {
	case <-ctx.Done():
	case <-ended:
	}
	err = answers.Close()
	<-ended
	return err
}

// tellLacks says on standard error what the tree lacks, which with --strict is an error.
func tellLacks(ctx context.Context, src *client.Source, t *client.Tree) error {
	lacking, _, err := gaps.TellNow(ctx, src.Env, t)
	if err == nil && src.Strict && !lacking.None() {
		err = exit.NotComplete()
	}
	return err
}

// checkMountPoint says what is wrong with a directory to mount on.
func checkMountPoint(dir string) error {
	switch st, err := os.Stat(dir); {
	case errors.Is(err, syscall.ENOTCONN):
		return fmt.Errorf("%s is a mount whose server has ended; unmount it first: umount -l %s", dir, dir)
	case errors.Is(err, syscall.EIO):
		return fmt.Errorf("%s is a mount whose server does not answer now, or has ended; wait for it, or unmount it first: umount -l %s", dir, dir)
	case err != nil:
		return err
	case !st.IsDir():
		return fmt.Errorf("%s is not a directory", dir)
	}
	return nil
}

// isOurDead reports whether what is mounted at dir is a mount of this program that nobody answers
// for and nobody will: its command has been killed.
func isOurDead(dir string) bool {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); !errors.Is(err, unix.ENOTCONN) {
		return false
	}
	path, err := filepath.Abs(dir)
	if err != nil {
		return false
	}
	mounts, err := procfs.GetMounts()
	if err != nil {
		return false
	}
	top := "" // the last one at a place is on top
	for _, m := range mounts {
		if m.MountPoint == path {
			top = m.FSType
		}
	}
	return top == "fuse.aggrfs"
}

// fuseConfig is how the tree is mounted: for the calling user alone; prefetched is
// whether it has only what sweeps bring.
func fuseConfig(env *client.Env, t *client.Tree, prefetched bool) (fusefs.Config, error) {
	owner, err := client.Self()
	cfg := fusefs.Config{
		Attach: func(ctx context.Context, _ vfs.Identity) (vfs.Node, error) { return t.Root(ctx) },
		Owner:  owner, Log: env.Log,
		Deadline: max(fusefs.DefaultDeadline, t.Patience+time.Second),
	}
	if prefetched {
		mountserver.Prefetch(&cfg, t.Generation)
	}
	return cfg, err
}
