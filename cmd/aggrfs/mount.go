package main

import (
	"github.com/spf13/cobra"

	"github.com/aggrfs/aggrfs/internal/app/mount"
)

func (a *app) mountCommand() *cobra.Command {
	src := source{Env: &a.env}
	var o mount.Options
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
			return mount.Mount(cmd.Context(), &src, args[0], o)
		},
	}
	sourceFlags(cmd, &src)
	strictFlag(cmd, &src, "do not mount, and fail with status 3, if processes of any node are missing or old now")
	cmd.Flags().BoolVar(&o.Shared, "allow-other", false, "mount for all users, each with their own view (for root)")
	cmd.Flags().StringVar(&o.Type, "type", "fuse", "mount with this `TYPE` of file system: fuse, or 9p (see above)")
	prefetchedFlag(cmd, &o.Prefetched)
	cmd.MarkFlagsMutuallyExclusive("allow-other", "as")
	return a.withLogLevel(cmd, "info")
}
