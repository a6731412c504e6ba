package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/aggrfs/aggrfs/pkg/ninep"
	"github.com/aggrfs/aggrfs/test/peers/stage"
)

// apart compares servers in processes of their own, all of them asked by the
// project's client, in the way that is right for any server.
func apart(ctx context.Context) error {
	all, err := newCompany(ctx)
	if err != nil {
		return err
	}
	defer all.close()
	exported, err := stageFiles(all.dir)
	if err != nil {
		return err
	}
	client := func(what, aname string, argv ...string) (*ourClient, error) {
		if _, err := all.start(what, argv...); err != nil {
			return nil, err
		}
		conn, err := all.dial(what)
		if err != nil {
			return nil, err
		}
		return newOurClient(ctx, conn, ninep.ClientConfig{Foreign: true, Msize: 64 << 10}, aname)
	}
	ours, err := client("ours", "")
	if err != nil {
		return err
	}
	defer ours.close()
	p9, err := client("p9", "")
	if err != nil {
		return err
	}
	defer p9.close()
	diod, err := client("diod", exported, "diod", "-f", "-n", "-c", "/dev/null", "-L", "/dev/null", "-e", exported, "-l", all.socket("diod"))
	if err != nil {
		return err
	}
	defer diod.close()
	for _, other := range []struct {
		name string
		peer peer
	}{{"hugelgupf", p9}, {"diod", diod}} {
		for _, figures := range []func(string, peer, peer) error{reads, files, readdir, bulk} {
			if err := figures("-2/"+other.name, ours, other.peer); err != nil {
				return err
			}
		}
	}
	return limit("9p-limit-2", ours, func() (io.ReadWriteCloser, func(), error) {
		if _, err := all.start("bare"); err != nil {
			return nil, nil, err
		}
		conn, err := all.dial("bare")
		return conn, func() {}, err
	})
}

// stageFiles makes the stage as files, for servers of those.
func stageFiles(dir string) (string, error) {
	root := filepath.Join(dir, "files")
	err := os.MkdirAll(filepath.Join(root, stage.Many), 0o755)
	write := func(name string, size int) {
		err = errors.Join(err, os.WriteFile(filepath.Join(root, name), stage.Content(size), 0o644))
	}
	write(stage.Status, stage.Small)
	write(stage.Bulk, stage.Large)
	for i := range stage.Entries {
		write(filepath.Join(stage.Many, stage.Entry(i)), 0)
	}
	return root, err
}
