package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"syscall"
	"time"

	"github.com/aggrfs/aggrfs/internal/access"
	"github.com/aggrfs/aggrfs/internal/userdb"
	"github.com/aggrfs/aggrfs/pkg/aggregate"
	"github.com/aggrfs/aggrfs/pkg/cachepolicy"
	"github.com/aggrfs/aggrfs/pkg/procfs9p"
	"github.com/aggrfs/aggrfs/pkg/vfs"
	"github.com/aggrfs/aggrfs/test/figures"
)

const (
	viewsRounds = 9
	viewsReads  = 20000
	viewsUser   = 61001
)

// views compares a warm read (walk, open and read of <gpid>/status out of the
// table) by a user who has a view with the same by root, who needs none.
func views(ctx context.Context) (err error) {
	cmd := exec.Command("sleep", "1000")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: viewsUser, Gid: viewsUser}}
	if err := cmd.Start(); err != nil {
		return err
	}
	defer func() {
		cmd.Process.Kill()
		cmd.Wait()
	}()
	users := userdb.New(userdb.Config{})
	rules := access.Rules{Views: []access.View{{
		For:   []access.Principal{{Kind: access.User, Name: strconv.Itoa(viewsUser)}},
		Nodes: access.Nodes{All: true}, Processes: access.Processes{Own: true},
	}}}
	c, err := aggregate.New(aggregate.Config{
		Head: aggregate.NodeConfig{Name: "head", Dial: func(context.Context) (aggregate.Upstream, error) {
			leaf, err := procfs9p.New(procfs9p.Config{})
			return localLeaf{leaf}, err
		}},
		Policy: cachepolicy.Sweep(time.Hour), Names: users, Access: access.New(rules, users, nil),
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	c.Ready(ctx)
	reader := func(who vfs.Identity) (func() (time.Duration, error), error) {
		root, err := c.Attach(ctx, who, "")
		if err != nil {
			return nil, err
		}
		dir, pid := root.(vfs.Dir), strconv.Itoa(cmd.Process.Pid)
		if err := listAll(ctx, dir); err != nil {
			return nil, err
		}
		return func() (time.Duration, error) {
			start := time.Now()
			for range viewsReads {
				if _, err := vfs.ReadFile(ctx, dir, 1<<16, pid, "status"); err != nil {
					return 0, fmt.Errorf("%v: %w", who, err)
				}
			}
			return time.Since(start) / viewsReads, nil
		}, nil
	}
	with, err := reader(vfs.Identity{UID: viewsUser, GID: viewsUser})
	if err != nil {
		return err
	}
	without, err := reader(vfs.Root)
	if err != nil {
		return err
	}
	var ours, against []time.Duration
	for range viewsRounds {
		a, err := with()
		if err != nil {
			return err
		}
		b, err := without()
		if err != nil {
			return err
		}
		ours, against = append(ours, a), append(against, b)
	}
	figures.Print("views", figures.Median(ours), figures.Median(against))
	return nil
}

// listAll lists a directory, which sweeps.
func listAll(ctx context.Context, dir vfs.Dir) error {
	h, err := dir.List(ctx)
	if err != nil {
		return err
	}
	defer h.Close()
	_, err = h.ReadDir(ctx, 0, nil, 1<<20)
	return err
}

// localLeaf is a leaf in this process.
type localLeaf struct{ *procfs9p.Leaf }

func (localLeaf) Done() <-chan struct{} { return nil }
func (localLeaf) Err() error            { return nil }
