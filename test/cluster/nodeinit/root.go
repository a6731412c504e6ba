package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/aggrfs/aggrfs/test/cluster/control"
	"golang.org/x/sys/unix"
)

// enter makes the directory a root with the system's programs in it, a procfs
// of its own pid namespace, and its own /run and /tmp, and goes there.
func enter(c control.Config) error {
	if os.Getpid() != 1 {
		return errors.New("not the first process of a pid namespace: it is to be started by package cluster")
	}
	if err := unix.Sethostname([]byte(c.Name)); err != nil {
		return fmt.Errorf("sethostname: %w", err)
	}
	if err := unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := bind(c.Root, c.Root, false); err != nil {
		return err
	}
	for _, name := range []string{"usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "etc"} {
		if err := borrow("/"+name, filepath.Join(c.Root, name)); err != nil {
			return err
		}
	}
	for _, name := range []string{"run", "tmp", "proc", "dev", "opt", "var", "root"} {
		if err := os.MkdirAll(filepath.Join(c.Root, name), 0o755); err != nil {
			return err
		}
	}
	if err := os.Chmod(filepath.Join(c.Root, "tmp"), 0o777|os.ModeSticky); err != nil {
		return err
	}
	if err := bind("/dev", filepath.Join(c.Root, "dev"), false); err != nil {
		return err
	}
	for from, to := range map[string]string{c.Procsrv: control.ProcsrvPath, "/proc/self/exe": control.InitPath} {
		path := filepath.Join(c.Root, to)
		if err := os.WriteFile(path, nil, 0o755); err != nil {
			return err
		}
		if err := bind(from, path, true); err != nil {
			return err
		}
	}
	if err := unix.Mount("proc", filepath.Join(c.Root, "proc"), "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, c.Proc); err != nil {
		return fmt.Errorf("mount proc: %w", err)
	}
	return pivot(c.Root)
}

// borrow has a directory of the host, or a link of the same text, at a place,
// read-only. What the host has not got is left out.
func borrow(from, to string) error {
	if text, err := os.Readlink(from); err == nil {
		return os.Symlink(text, to)
	}
	if _, err := os.Stat(from); err != nil {
		return nil
	}
	if err := os.Mkdir(to, 0o755); err != nil {
		return err
	}
	return bind(from, to, true)
}

func bind(from, to string, readonly bool) error {
	from, err := filepath.EvalSymlinks(from)
	if err == nil {
		err = unix.Mount(from, to, "", unix.MS_BIND|unix.MS_REC, "")
	}
	if err == nil && readonly {
		err = unix.Mount("none", to, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, "")
	}
	if err != nil {
		return fmt.Errorf("bind %s to %s: %w", from, to, err)
	}
	return nil
}

// pivot makes dir, a mount, the root and drops the old one, see pivot_root(2).
func pivot(dir string) error {
	if err := os.Chdir(dir); err != nil {
		return err
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("pivot_root to %s: %w", dir, err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("drop the old root: %w", err)
	}
	return os.Chdir("/")
}
