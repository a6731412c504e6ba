// Package survey reads everything that a /proc shows to whoever reads it, and
// says what came of it: so that what somebody may read through a tree can be
// compared with what the kernel lets them read on the node itself.
package survey

import (
	"context"
	"errors"
	"hash/fnv"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// A Request says what to read.
type Request struct {
	Root string   // a /proc in the file system
	PIDs []int    // these processes and no others
	Deep []int    // of these also the threads, and the network
	Skip []string // paths and names that are not looked at
}

// An Entry is one object.
type Entry struct {
	Path  string // relative to the root
	Kind  vfs.Type
	Errno syscall.Errno
	Sum   uint64 // of the content, the names or the text; of the first maxSum bytes
	Note  string // what is masked, where that can be told
}

// maxSum is how much of a file is looked at, in bytes.
const maxSum = 256 << 10

// Take reads it all.
func Take(r Request) []Entry {
	t := taker{Request: r, source: directory(r.Root)}
	t.dir("")
	return t.entries
}

// TakeTree reads it all from a tree.
func TakeTree(ctx context.Context, root vfs.Dir, r Request) []Entry {
	t := taker{Request: r, source: tree{ctx, root}}
	t.dir("")
	return t.entries
}

type taker struct {
	Request
	source  source
	entries []Entry
}

func (t *taker) skips(rel string) bool {
	if slices.Contains(t.Skip, rel) || slices.Contains(t.Skip, filepath.Base(rel)) {
		return true
	}
	first, rest, _ := strings.Cut(rel, "/")
	n, err := strconv.Atoi(first)
	if err != nil {
		return false
	}
	return !slices.Contains(t.PIDs, n) || (rest == "task" || rest == "net") && !slices.Contains(t.Deep, n)
}

func (t *taker) dir(rel string) {
	all, err := t.source.list(rel)
	all = slices.DeleteFunc(all, func(n name) bool { return t.skips(filepath.Join(rel, n.name)) })
	names := make([]string, len(all))
	for i, n := range all {
		names[i] = n.name
	}
	t.add(rel, vfs.TypeDir, err, []byte(strings.Join(names, "\n")), "")
	for _, n := range all {
		sub := filepath.Join(rel, n.name)
		switch n.kind {
		case vfs.TypeDir:
			t.dir(sub)
		case vfs.TypeLink:
			text, err := t.source.link(sub)
			t.add(sub, vfs.TypeLink, err, []byte(text), "")
		default:
			content, err := t.source.read(sub)
			note := ""
			if err == nil {
				note = masked(n.name, content)
			}
			t.add(sub, vfs.TypeFile, err, content, note)
		}
	}
}

func (t *taker) add(rel string, kind vfs.Type, err error, content []byte, note string) {
	e := Entry{Path: rel, Kind: kind, Note: note}
	if err != nil && !errors.As(err, &e.Errno) {
		e.Errno = syscall.EIO
	}
	if err == nil {
		h := fnv.New64a()
		h.Write(content)
		e.Sum = h.Sum64()
	}
	t.entries = append(t.entries, e)
}

// masked is the part of a file that the kernel shows to some readers only.
func masked(name string, content []byte) string {
	text := string(content)
	switch name {
	case "stat":
		// Fields 26 to 30, 35 and 45 to 52, counted behind the name.
		f := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
		if len(f) < 50 {
			return ""
		}
		return strings.Join(append(append(slices.Clone(f[23:28]), f[32]), f[42:50]...), " ")
	case "wchan":
		return text
	case "kallsyms", "iomem", "ioports", "modules":
		line, _, _ := strings.Cut(text, "\n")
		return line
	}
	return ""
}

// volatile reports whether a file differs from one read to the next although what
// it tells of rests: it counts what reading itself costs, or the time, or what
// others do.
func volatile(path string) bool {
	switch filepath.Base(path) {
	case "sched", "schedstat", "status", "stat", "statm", "arch_status", "numa_maps", "smaps", "smaps_rollup", "io", "timerslack_ns":
		return true
	case "file-nr", "inode-nr", "inode-state", "dentry-state", "nr", "uuid", "entropy_avail", "ns_last_pid", "loadavg": // of sys/
		return true
	}
	first, _, below := strings.Cut(path, "/")
	_, err := strconv.Atoi(first)
	return err != nil && (!below || first != "sys") || strings.Contains(path, "/net/")
}

// Compare says how what a tree shows (ours) differs from what the kernel shows
// to the same reader: a line for each object that can be read on one side only,
// or whose masked part or content differs. before and after are two native
// surveys around that of the tree: only what is the same in both is compared.
func Compare(before, after, ours []Entry) (lines []string) {
	index := func(all []Entry) map[string]Entry {
		m := make(map[string]Entry, len(all))
		for _, e := range all {
			m[e.Path] = e
		}
		return m
	}
	b, a, o := index(before), index(after), index(ours)
	for _, e := range before {
		late, stays := a[e.Path]
		got, have := o[e.Path]
		switch {
		case !stays || late.Errno != e.Errno:
		case !have && e.Errno == 0:
			lines = append(lines, e.Path+": on the node it can be read, in the tree it does not exist")
		case !have:
		case e.Errno == 0 && got.Errno != 0:
			lines = append(lines, e.Path+": on the node it can be read, in the tree: "+got.Errno.Error())
		case e.Errno != 0 && got.Errno == 0:
			lines = append(lines, "LEAK "+e.Path+": it can be read in the tree, on the node: "+e.Errno.Error())
		case e.Note == late.Note && e.Note != got.Note:
			lines = append(lines, "MASK "+e.Path+": on the node "+e.Note+", in the tree "+got.Note)
		case e.Sum == late.Sum && e.Sum != got.Sum && e.Errno == 0 && !volatile(e.Path):
			lines = append(lines, e.Path+": the content differs")
		}
	}
	for _, e := range ours {
		if _, was := b[e.Path]; !was && a[e.Path].Path == "" && e.Path != "" {
			lines = append(lines, "LEAK "+e.Path+": it exists in the tree, not on the node")
		}
	}
	return lines
}
