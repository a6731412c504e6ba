package daemon

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/aggrfs/aggrfs/internal/app/cluster"
	"github.com/aggrfs/aggrfs/internal/config"
	"github.com/aggrfs/aggrfs/internal/plaintext"
	"github.com/aggrfs/aggrfs/pkg/cachepolicy"
	"github.com/aggrfs/aggrfs/pkg/ninep"
	"github.com/aggrfs/aggrfs/pkg/nodeset"
)

// Check reads the configuration at path as a daemon would at its start, with all files that it
// names, and says on out what is doubtful about it and, on its last line, what it is. An error
// is what a daemon would refuse. Nothing is listened on, and nothing that a running daemon
// has is touched.
//
// Where connect is set each node is dialled once too, and one that is not reached, within the
// configuration's timeout, is an error.
func Check(ctx context.Context, path string, connect bool, o Options, out io.Writer) error {
	cfg, err := config.Load(path)
	if err != nil {
		return err
	}
	policy, err := cluster.Policy(cfg)
	if err != nil {
		return err
	}
	keys, err := cluster.OpenKeys(cfg, o.Log)
	if err != nil {
		return err
	}
	for _, text := range cfg.Listen {
		if _, err := ninep.ParseAddr(text); err != nil {
			return fmt.Errorf("listen: %w", err)
		}
	}
	asking, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	for _, texts := range [][]string{cfg.Warnings(), policy.UnknownNodes(cfg.Names()), cfg.Doubts(asking, o.Users, cachepolicy.Unmatched)} {
		for _, text := range texts {
			fmt.Fprintf(out, "warning: %s\n", plaintext.Escape(text))
		}
	}
	if connect {
		if err := reach(ctx, cfg, cluster.Parts{Keys: keys, Users: o.Users, Version: o.Version, Log: o.Log}, out); err != nil {
			return err
		}
	}
	fmt.Fprintf(out, "%s: good: %d nodes and the head node %s, %d views, %d administrators, cache policy %s\n",
		path, len(cfg.Nodes), cfg.Head, len(cfg.Access.Views), len(cfg.Access.Admins), policy.Name)
	return nil
}

// checkTime is how long the user database may take for all names of a configuration.
const checkTime = 20 * time.Second

// reach says on out which nodes were not reached, and why.
func reach(ctx context.Context, cfg *config.Config, p cluster.Parts, out io.Writer) error {
	failed, err := cluster.Reach(ctx, cfg, p)
	if err != nil || len(failed) == 0 {
		return err
	}
	byReason := map[string][]string{}
	for name, err := range failed {
		byReason[err.Error()] = append(byReason[err.Error()], name)
	}
	for _, reason := range slices.Sorted(maps.Keys(byReason)) {
		fmt.Fprintf(out, "not reached: %s: %s\n", nodeset.Of(byReason[reason]...), plaintext.Escape(reason))
	}
	return fmt.Errorf("%d of %d nodes are not reached", len(failed), len(cfg.Nodes))
}
