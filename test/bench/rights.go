package main

import (
	"context"
	"errors"
	"os/exec"
	"strconv"
	"syscall"
	"time"

	"github.com/aggrfs/aggrfs/pkg/procfs9p"
	"github.com/aggrfs/aggrfs/pkg/vfs"
	"github.com/aggrfs/aggrfs/test/figures"
)

const (
	rightsRounds = 200
	rightsReads  = 50 // of a file in each round
	rightsUID    = 1001
)

// rights compares a read on demand with a user's rights, at the leaf, with the
// same as root: rights-status of a file that the leaf reads where the request
// is, rights-environ of one that may block; rights-groups-* for a user in
// supplementary groups, which take two system calls more.
func rights(ctx context.Context) (err error) {
	cmd := exec.CommandContext(ctx, "sleep", "1000")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: rightsUID, Gid: rightsUID}}
	if err := cmd.Start(); err != nil {
		return err
	}
	defer func() {
		cmd.Process.Kill()
		cmd.Wait()
	}()
	leaf, err := procfs9p.New(procfs9p.Config{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, leaf.Close()) }()
	pid := strconv.Itoa(cmd.Process.Pid)
	plain := vfs.Identity{UID: rightsUID, GID: rightsUID}
	member := plain
	member.Groups = []uint32{100, 2000, 2001}
	for _, c := range []struct {
		name string
		who  vfs.Identity
		file string
	}{
		{"rights-status", plain, "status"}, {"rights-environ", plain, "environ"},
		{"rights-groups-status", member, "status"}, {"rights-groups-environ", member, "environ"},
	} {
		var ours, against []time.Duration
		for range rightsRounds {
			user, err := onDemand(ctx, leaf, c.who, pid, c.file)
			if err != nil {
				return err
			}
			root, err := onDemand(ctx, leaf, vfs.Root, pid, c.file)
			if err != nil {
				return err
			}
			ours, against = append(ours, user), append(against, root)
		}
		figures.Print(c.name, figures.Median(ours), figures.Median(against))
	}
	return nil
}

// onDemand is what one read takes, on the average of a round.
func onDemand(ctx context.Context, leaf *procfs9p.Leaf, who vfs.Identity, names ...string) (time.Duration, error) {
	root, err := leaf.Attach(ctx, who, "")
	if err != nil {
		return 0, err
	}
	start := time.Now()
	for range rightsReads {
		h, _, err := vfs.OpenPath(ctx, root.(vfs.Dir), names...)
		if err != nil {
			return 0, err
		}
		if err := h.Close(); err != nil {
			return 0, err
		}
	}
	return time.Since(start) / rightsReads, nil
}
