package certs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// checkDir refuses a directory in which others could put files of their own in
// place of a CA's.
func checkDir(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is no directory", dir)
	}
	if mode := info.Mode().Perm(); mode&0o022 != 0 {
		return fmt.Errorf("others can write to the directory %s (its mode is %#o): chmod go-w %s", dir, mode, dir)
	}
	return nil
}

// writePair writes NAME.crt, for everybody, and NAME.key, for this user alone.
// Both are complete before either gets its name, which place gives: os.Rename
// replaces what has it, os.Link fails then.
func writePair(dir, name string, certPEM, keyPEM []byte, place func(from, to string) error) (err error) {
	var made []string
	defer func() {
		for _, path := range made {
			os.Remove(path) // where it was renamed it is gone already
		}
	}()
	stage := func(data []byte, mode os.FileMode) {
		if err != nil {
			return
		}
		var path string
		if path, err = writeTemp(dir, data, mode); path != "" {
			made = append(made, path)
		}
	}
	stage(keyPEM, 0o600)
	stage(certPEM, 0o644)
	if err != nil {
		return err
	}
	for i, suffix := range []string{keyFile, certFile} {
		if err := place(made[i], filepath.Join(dir, name+suffix)); err != nil {
			return err
		}
	}
	return syncDir(dir)
}

// writeTemp writes a file under a name that nothing had (O_EXCL), with mode 0600
// until it is written. Where that fails there may be a file all the same.
func writeTemp(dir string, data []byte, mode os.FileMode) (path string, err error) {
	f, err := os.CreateTemp(dir, ".new-*")
	if err != nil {
		return "", err
	}
	_, err = f.Write(data)
	if err == nil && mode != 0o600 {
		err = f.Chmod(mode)
	}
	if err == nil {
		err = f.Sync()
	}
	return f.Name(), errors.Join(err, f.Close())
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
