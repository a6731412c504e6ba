package main

import (
	"errors"

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
gets SIGINT or SIGTERM. The mount is for the calling user alone; with --allow-other, for
root only, it is for all users, and each sees their own view. Users other than root
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

func (a *app) execCommand() *cobra.Command {
	src := source{Env: &a.env}
	var o mount.ExecOptions
	var oneCPU bool
	cmd := &cobra.Command{
		Use:   "exec [flags] -- COMMAND [ARG...]",
		Short: "Run a command that sees the processes of the cluster",
		Long: `Run COMMAND with the merged tree as its /proc, in a mount namespace of its own;
the /proc of everybody else stays what it is.

The exit status is that of COMMAND, or 125, 126 or 127 if it could not be run, as with
env(1). Nodes whose processes are missing or old are named on standard error, before COMMAND
starts and once more after it has ended: programs such as pgrep print nothing where /proc
shows nothing, and cannot say why. With --strict the exit status is then 120.

Where the helper aggrfs-ns is installed, COMMAND shows a user the owner of every process.
Elsewhere it runs in a user namespace of the user's own, in which the processes of all
others belong to nobody. Root needs no helper.`,
		Example: "  aggrfs exec -- ps -ef\n  aggrfs exec --nodes 'n[001-032]' -- top",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("exec needs a command: aggrfs exec -- ps -ef")
			}
			if cmd.Flags().Changed("one-cpu") {
				o.OneCPU = &oneCPU
			}
			var err error
			a.exitCode, err = mount.Exec(cmd.Context(), &src, args, o)
			return err
		},
	}
	cmd.Flags().SetInterspersed(false)
	sourceFlags(cmd, &src)
	strictFlag(cmd, &src, "end with status 120 if processes of any node were missing or old, before or while COMMAND ran")
	prefetchedFlag(cmd, &o.Prefetched)
	cmd.Flags().BoolVar(&oneCPU, "one-cpu", false, "run COMMAND and its tree on one CPU, which is faster if COMMAND has one thread (default: for ps, top and the like, and with --prefetched)")
	return a.withLogLevel(cmd, "error")
}

// prefetchedFlag adds --prefetched.
func prefetchedFlag(cmd *cobra.Command, prefetched *bool) {
	cmd.Flags().BoolVar(prefetched, "prefetched", false, "of each process only the files that ps and top read, at the speed of the page cache; no other file exists")
}
