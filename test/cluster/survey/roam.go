package survey

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"syscall"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// A Roam is a number of random looks at a tree by somebody who may see some
// processes of it and not others.
type Roam struct {
	Root    string // in the file system
	Looks   int
	Seed    uint64
	Own     []string // paths of process directories that exist
	Others  []string // that are somebody else's: they must look like
	Nowhere []string // those that are nobody's
	Places  []string // directories and files that exist besides
	Secrets []string // texts and names that may be met nowhere
}

// below are names in a process directory.
var below = []string{"", "status", "stat", "statm", "cmdline", "comm", "environ", "cgroup", "exe", "cwd", "maps", "fd", "task", "ns/mnt"}

// Run roams the file system and tells what should not have been.
func (r Roam) Run() []string { return r.run(directory(r.Root)) }

// RunTree roams a tree.
func (r Roam) RunTree(ctx context.Context, root vfs.Dir) []string { return r.run(tree{ctx, root}) }

func (r Roam) run(s source) (problems []string) {
	random := rand.New(rand.NewPCG(r.Seed, 1))
	pick := func(from []string) string { return from[random.IntN(len(from))] }
	for range r.Looks {
		var path string
		var hidden, own bool
		switch random.IntN(4) {
		case 0:
			path, own = pick(r.Own), true
		case 1:
			path, hidden = pick(r.Others), true
		case 2:
			path, hidden = pick(r.Nowhere), true
		default:
			path = pick(r.Places)
		}
		name := ""
		if own || hidden {
			if name = pick(below); name != "" {
				path += "/" + name
			}
		}
		seen, err := look(s, path, random.IntN(3))
		switch {
		case hidden && !errors.Is(err, syscall.ENOENT):
			problems = append(problems, fmt.Sprintf("%s: %v, not that it does not exist", path, err))
		case own && (name == "" || name == "status" || name == "stat") && errors.Is(err, syscall.ENOENT):
			problems = append(problems, path+" does not exist")
		}
		for _, secret := range r.Secrets {
			if slices.ContainsFunc(seen, func(text []byte) bool { return bytes.Contains(text, []byte(secret)) }) {
				problems = append(problems, fmt.Sprintf("%s shows %q", path, secret))
			}
		}
		if len(problems) > 20 {
			return append(problems, "and so on")
		}
	}
	return problems
}

// look looks at a path in one of three ways, or in another one if it is not of
// that kind.
func look(s source, path string, way int) (seen [][]byte, err error) {
	for range 3 {
		switch way {
		case 0:
			var names []name
			if names, err = s.list(path); err == nil {
				for _, n := range names {
					seen = append(seen, []byte("/"+n.name+"/"))
				}
				return seen, nil
			}
		case 1:
			var content []byte
			if content, err = s.read(path); err == nil {
				return [][]byte{content}, nil
			}
		case 2:
			var text string
			if text, err = s.link(path); err == nil {
				return [][]byte{[]byte(text)}, nil
			}
		}
		if !errors.Is(err, syscall.ENOTDIR) && !errors.Is(err, syscall.EISDIR) && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, syscall.ELOOP) {
			return nil, err
		}
		way = (way + 1) % 3
	}
	return nil, err
}
