package foreign_test

import (
	"context"
	"strings"
	"syscall"
	"testing"

	"github.com/aggrfs/aggrfs/pkg/vfs"
	"github.com/aggrfs/aggrfs/pkg/vfs/vfstest"
)

// sickTree is a tree in which what is at these paths gives these errors: a directory
// when it is walked to, a file when it is opened.
type sickTree struct {
	vfs.Tree
	errs map[string]syscall.Errno
}

func (s *sickTree) Attach(ctx context.Context, who vfs.Identity, aname string) (vfs.Node, error) {
	n, err := s.Tree.Attach(ctx, who, aname)
	if err != nil {
		return nil, err
	}
	return sickDir{n.(vfs.Dir), s, ""}, nil
}

type sickDir struct {
	vfs.Dir
	s  *sickTree
	at string
}

func (d sickDir) Walk(ctx context.Context, name string) (vfs.Node, error) {
	n, err := d.Dir.Walk(ctx, name)
	if err != nil {
		return nil, err
	}
	at := strings.TrimPrefix(d.at+"/"+name, "/")
	errno := d.s.errs[at]
	switch n := n.(type) {
	case vfs.Dir:
		if errno != 0 {
			return nil, errno
		}
		return sickDir{n, d.s, at}, nil
	case vfs.File:
		return sickFile{n, errno}, nil
	}
	return n, nil
}

type sickFile struct {
	vfs.File
	errno syscall.Errno
}

func (f sickFile) Open(ctx context.Context) (vfs.Handle, error) {
	if f.errno != 0 {
		return nil, f.errno
	}
	return f.File.Open(ctx)
}

// What a foreign server cannot read now is not taken for what does not exist: the
// node's row says so, or the node has no table.
func TestErrors(t *testing.T) {
	const stat = " (x) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 100 0 0\n"
	for name, test := range map[string]struct {
		errs map[string]syscall.Errno
		want string // in the node's row
	}{
		"a process that has ended":     {map[string]syscall.Errno{"7": syscall.ENOENT, "8/stat": syscall.ESRCH}, ""},
		"what it is":                   {map[string]syscall.Errno{"version": syscall.EMFILE}, "version: too many open files"},
		"when it was booted":           {map[string]syscall.Errno{"stat": syscall.EIO}, "stat: input/output error"},
		"the directory of a process":   {map[string]syscall.Errno{"7": syscall.EIO}, "1 processes could not be read: input/output error"},
		"the stat of a process":        {map[string]syscall.Errno{"7/stat": syscall.EACCES}, "1 processes could not be read: permission denied"},
		"too few descriptors for one":  {map[string]syscall.Errno{"7/stat": syscall.EMFILE}, "1 of 3 processes: too many open files"},
		"no process at all":            {map[string]syscall.Errno{"7": syscall.EIO, "8": syscall.EIO, "9": syscall.EIO}, "3 of 3 processes: input/output error"},
		"too little memory for two":    {map[string]syscall.Errno{"8": syscall.ENOMEM, "9": syscall.ENOMEM}, "2 of 3 processes: cannot allocate memory"},
		"another file of a process":    {map[string]syscall.Errno{"7/cmdline": syscall.EIO}, ""},
		"a file that need not be read": {map[string]syscall.Errno{"meminfo": syscall.EIO}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			tree := vfstest.NewTree()
			tree.Put("version", vfstest.File{Data: []byte("Linux version 6.1 (x)\n")})
			tree.Put("stat", vfstest.File{Data: []byte("cpu 1\nbtime 1700000000\n")})
			tree.Put("meminfo", vfstest.File{})
			for _, pid := range []string{"7", "8", "9"} {
				tree.Put(pid+"/stat", vfstest.File{Data: []byte(pid + stat)})
				tree.Put(pid+"/cmdline", vfstest.File{Data: []byte("x")})
			}
			c := cluster(t, serve(t, &sickTree{tree, test.errs}, "9P2000.L"))
			nodes, err := read(attach(t, c, vfs.Root), "cluster/nodes")
			if err != nil {
				t.Fatal(err)
			}
			row := ""
			for line := range strings.Lines(nodes) {
				if strings.HasPrefix(line, "n1 ") {
					row = strings.TrimSpace(line)
				}
			}
			if row == "" || test.want == "" && !strings.HasSuffix(row, " -") || !strings.Contains(row, test.want) {
				t.Errorf("the row is %q, want %q in it", row, test.want)
			}
		})
	}
}
