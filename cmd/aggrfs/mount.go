package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/aggrfs/aggrfs/pkg/fusefs"
)

func (a *app) mountCommand() *cobra.Command {
	var src source
	cmd := &cobra.Command{
		Use:     "mount [flags] DIR",
		Short:   "Mount the merged tree on a directory",
		Long:    "Mount the merged tree on DIR by FUSE and serve it until it is unmounted or the\ncommand is ended by SIGINT or SIGTERM.",
		Example: "  aggrfs mount /global\n  umount /global",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.mount(cmd.Context(), &src, args[0])
		},
	}
	src.addFlags(cmd)
	return a.withLogLevel(cmd, "info")
}

// mount returns once the tree is unmounted again.
func (a *app) mount(ctx context.Context, src *source, dir string) error {
	if err := requireRoot("mount"); err != nil {
		return err
	}
	ctx, stop := untilSignal(ctx)
	defer stop()
	switch st, err := os.Stat(dir); {
	case errors.Is(err, syscall.ENOTCONN):
		return fmt.Errorf("%s is a mount whose server has ended; take it away first: umount -l %s", dir, dir)
	case err != nil:
		return err
	case !st.IsDir():
		return fmt.Errorf("%s is no directory", dir)
	}
	tree, err := src.open(ctx, a, "/proc")
	if err != nil {
		return err
	}
	defer tree.Close()
	server, err := fusefs.Mount(dir, a.fuseConfig(tree))
	if err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		server.Wait()
	}()
	a.log.Info("mounted", "dir", dir)
	select {
	case <-ctx.Done():
	case <-ended:
	}
	err = server.Close()
	<-ended
	return err
}
