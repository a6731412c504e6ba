package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/aggrfs/aggrfs/test/figures"
	"github.com/aggrfs/aggrfs/test/requester"
)

// topGlobal prints top-global: each of three frames of top, a process, the first from the start of
// aggrfs exec, against a frame of the native one; and top-global-user, the same for a user of a
// quarter of the nodes, at the same time as root's.
func topGlobal(ctx context.Context, of size, n native) (err error) {
	g, err := startGlobal(ctx, of, n)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.close()) }()
	all, err := g.places(ctx, of.all())
	if err != nil {
		return err
	}
	root, user := g.programs.Root(), g.programs.User()
	frames, err := g.top(ctx, root)
	if err != nil {
		return err
	}
	var short shortfalls
	short.add(compareFrames("top-global", frames, all, root))
	for i, f := range frames {
		figures.Print(fmt.Sprintf("top-global/%d", i+1), each(f.took, len(all)), n.top)
	}
	quarter := all.on(g.names[:g.quarter()])
	var roots, users []frame
	var errs [2]error
	var both sync.WaitGroup
	both.Go(func() { roots, errs[0] = g.top(ctx, root) })
	both.Go(func() { users, errs[1] = g.top(ctx, user) })
	both.Wait()
	if err := errors.Join(errs[:]...); err != nil {
		return errors.Join(short.err(), err)
	}
	short.add(compareFrames("top-global-user/root", roots, all, root))
	short.add(compareFrames("top-global-user", users, quarter, user))
	for i := range users {
		figures.Print(fmt.Sprintf("top-global-user/%d", i+1), each(users[i].took, len(quarter)), each(roots[i].took, len(all)))
	}
	return short.err()
}

// top runs top on the tree as who.
func (g *global) top(ctx context.Context, who requester.Requester) ([]frame, error) {
	limit := patience(g.native.top*time.Duration(topFrames*g.of.all())) + topFrames*topDelay
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	args := append([]string{"exec", "--server", g.address, "--"}, showTop...)
	var complaint strings.Builder
	cmd := who.Aggrfs(ctx, args...)
	cmd.Stderr = &complaint
	defer requester.Finish(cmd)
	frames, err := runTop(ctx, cmd)
	return frames, ended(ctx, err, limit, args, &complaint)
}

// compareFrames prints what is missing and double in the worst frame.
func compareFrames(name string, frames []frame, want places, who requester.Requester) error {
	var worst verdict
	for _, f := range frames {
		worst.add(f.rows.compare(want, true, who))
	}
	return worst.print(name)
}
