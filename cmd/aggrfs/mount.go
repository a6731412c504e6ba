package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/aggrfs/aggrfs/internal/app/exit"
	"github.com/aggrfs/aggrfs/pkg/fusefs"
)

func (a *app) mountCommand() *cobra.Command {
	src := source{Env: &a.env}
	var shared, prefetched bool
	var kind string
	cmd := &cobra.Command{
		Use:   "mount [flags] DIR",
		Short: "Mount the merged tree on a directory",
		Long: `Mount the merged tree on DIR by FUSE, and serve it until it is unmounted or the command
gets SIGINT or SIGTERM. The mount is for the calling user alone; with --allow-other, which
root can give, it is for all users, and each sees their own view. Users other than root
mount on a directory of their own, by fusermount3.

With --type 9p, for root only, the kernel's own 9P client mounts from the socket of a
running server. The command serves nothing then, but runs as long as the mount is there: a
signal makes it unmount and end, and so does the end of the server, which is an error.`,
		Example: "  aggrfs mount /global\n  aggrfs mount --allow-other /global\n  aggrfs mount --type 9p --allow-other /global\n  umount /global",
		Args:    oneArgument("one directory"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if shared && prefetched {
				return exit.Usagef("--prefetched cannot be combined with --allow-other: the kernel caches one content of a file for all users, and users may see different ones")
			}
			switch kind {
			case "fuse":
				return a.mount(cmd.Context(), &src, args[0], shared, prefetched)
			case "9p":
				if prefetched {
					return exit.Usagef("--prefetched needs --type fuse: of a mount with --type 9p the kernel caches nothing")
				}
				return a.mount9P(cmd.Context(), &src, args[0], shared)
			}
			return exit.Usagef("--type %s: the type is fuse or 9p", kind)
		},
	}
	sourceFlags(cmd, &src)
	strictFlag(cmd, &src, "do not mount, and fail with status 3, if processes of any node are missing or old now")
	cmd.Flags().BoolVar(&shared, "allow-other", false, "mount for all users, each with their own view (for root)")
	cmd.Flags().StringVar(&kind, "type", "fuse", "mount with this `TYPE` of file system: fuse, or 9p (see above)")
	addPrefetchedFlag(cmd, &prefetched)
	cmd.MarkFlagsMutuallyExclusive("allow-other", "as")
	return a.withLogLevel(cmd, "info")
}

// mount returns once the tree is unmounted again.
func (a *app) mount(ctx context.Context, src *source, dir string, shared, prefetched bool) error {
	if shared {
		if err := requireRoot("mount --allow-other"); err != nil {
			return err
		}
	}
	ctx, stop := untilSignal(ctx)
	defer stop()
	if err := checkMountPoint(dir); err != nil {
		return err
	}
	tree, err := src.Open(ctx, "/proc")
	if err != nil {
		return err
	}
	defer tree.Close()
	lacking, _, err := a.tellNow(ctx, tree)
	if err != nil {
		return err
	}
	if src.Strict && !lacking.none() {
		return exit.NotComplete()
	}
	a.env.TellSingly(tree)
	cfg, err := a.fuseConfig(tree, prefetched)
	if err != nil {
		return err
	}
	if shared {
		all := newSharedTree(tree.As)
		defer all.Close()
		cfg.Shared, cfg.Attach = true, all.root
	}
	server, err := fusefs.Mount(dir, cfg)
	if err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		server.Wait()
	}()
	a.env.Log.Info("mounted", "dir", dir)
	select {
	case <-ctx.Done():
	case <-ended:
	}
	err = server.Close()
	<-ended
	return err
}

// checkMountPoint says what is wrong with a directory to mount on.
func checkMountPoint(dir string) error {
	switch st, err := os.Stat(dir); {
	case errors.Is(err, syscall.ENOTCONN), errors.Is(err, syscall.EIO):
		return fmt.Errorf("%s is a mount whose server has ended; unmount it first: umount -l %s", dir, dir)
	case err != nil:
		return err
	case !st.IsDir():
		return fmt.Errorf("%s is not a directory", dir)
	}
	return nil
}
