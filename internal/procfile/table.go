package procfile

import (
	"iter"
	"maps"
	"path"
	"slices"
	"strings"
)

// A File is what is known of a file, a directory or a link of a procfs: one row of
// the table. The zero value is one of which nothing is known.
type File struct {
	// Path is relative to the directory of a process or thread, or to the root. A "*"
	// in it stands for one name, as path.Match has it.
	Path string

	Dir  bool // something can be below it: it is a directory, or a link to one
	Link bool

	// Quick: reading the file, or listing the directory and looking up what is in it,
	// takes no lock that another process, or a page fault, can hold for long. All else
	// may block: it takes the memory map's lock (maps, smaps, numa_maps, map_files), the
	// lock held through an exec (environ, io, stack, syscall, personality, auxv), touches
	// the process's memory (cmdline, environ), takes a lock of a whole subsystem (cgroup,
	// mounts, net), or calls a driver (fdinfo). Sources: fs/proc/base.c, array.c and
	// task_mmu.c of Linux.
	Quick bool
	// Once: the file comes whole from the first read(2) that has room for it. The kernel
	// formats it as one record (single_open in fs/seq_file.c) or copies until the buffer
	// is full; a second read would only say that this was the end.
	Once bool

	// Hidden is why the file is never exported: it does not exist and is not listed, and
	// neither does what is below it.
	Hidden string
	// OwnAlone is why the file is exported to the superuser alone: it shows what belongs
	// to the reading thread beyond its effective ids, groups and capabilities, so that
	// served as somebody else it would show the leaf's.
	OwnAlone string
	// Self is the text of a link that names its reader. The reader is on another machine,
	// so it names the node's first process.
	Self string

	// Guarded is why the content, or that there is any, depends on who reads the file, by
	// proc(5) and fs/proc/base.c. Not guarded are stat and wchan, which hide some fields
	// from most readers: see Mask.
	Guarded string
	// Public: everyone may read the file of any process.
	Public bool
	// Same: every reader gets the same bytes.
	Same bool
	// Mask appends the file as a reader gets it who has no ptrace read access to the
	// process, made of the file as one gets it who has; the two must not overlap. It is
	// nil where that is not the file itself and cannot be made of it either.
	Mask func(dst, full []byte) (masked []byte, ok bool)

	// NodeWide: a file of the root tells of the machine, and not of its users' processes.
	NodeWide bool
	// CountsOthers: a file below sys counts what all users do.
	CountsOthers bool

	// Template: the file has the same lines in every process, so that it is held and sent
	// as what differs from a template.
	Template bool
	// ReadOnce: tools open, read and close the file, process after process, and nobody
	// keeps it open to read it again.
	ReadOnce bool

	// Rewrite makes the file fit a reader on another machine; nil where it does as it is.
	Rewrite RewriteFunc
	// Sum makes the cluster's file out of those of its nodes; nil where there is none.
	Sum SumFunc
	// limit makes a root file that counts processes count some of them only.
	limit func(text []byte, c Counts) []byte
	// counters says which of its numbers never fall; nil is none.
	counters *counterKind
}

// A Table is the rows of a directory. It never changes.
type Table struct {
	threads  bool // it is of processes, whose threads have the same files
	byPath   map[string]*File
	patterns []*File // those with a "*"
}

func newTable(threads bool, rows []File) *Table {
	t := &Table{threads: threads, byPath: make(map[string]*File, len(rows))}
	for i := range rows {
		f := &rows[i]
		if t.byPath[f.Path] = f; strings.Contains(f.Path, "*") {
			t.patterns = append(t.patterns, f)
		}
	}
	return t
}

// In is Process or Root.
func In(process bool) *Table {
	if process {
		return Process
	}
	return Root
}

var nothing File

// File is the row of the file at that path, in a thread's directory too; never nil.
func (t *Table) File(rel string) *File {
	if t.threads {
		rel = InThread(rel)
	}
	if f := t.byPath[rel]; f != nil {
		return f
	}
	for _, f := range t.patterns {
		if ok, err := path.Match(f.Path, rel); ok && err == nil {
			return f
		}
	}
	return &nothing
}

// MayBlock reports whether reading the file may block.
func (t *Table) MayBlock(rel string) bool {
	f := t.File(rel)
	return !f.Quick || f.Dir
}

// MayBlockIn reports whether listing the directory, or looking up or asking about what
// is in it, may block. "" is the directory that the table is of.
func (t *Table) MayBlockIn(dir string) bool {
	if dir == "" {
		return false
	}
	if tail, ok := strings.CutPrefix(dir, "task/"); ok && t.threads && !strings.Contains(tail, "/") {
		return false
	}
	f := t.File(dir)
	return !f.Quick || !f.Dir
}

// Hidden reports whether the file at that path, or a directory on the way to it, is
// never exported.
func (t *Table) Hidden(rel string) bool {
	for i := range len(rel) + 1 {
		if (i == len(rel) || rel[i] == '/') && t.File(rel[:i]).Hidden != "" {
			return true
		}
	}
	return false
}

// Guarded is why what is at that path, relative to a process's directory, depends on who
// reads it; "" where it does not.
func Guarded(rel string) string {
	name, _, _ := strings.Cut(InThread(rel), "/")
	return Process.File(name).Guarded
}

// Names are the names that the directory can have, sorted.
func (t *Table) Names() []string { return t.names(func(*File) bool { return true }) }

// Dirs are those of Names below which something can be, but for the task directory,
// which is not in that of a thread.
func (t *Table) Dirs() []string {
	return t.names(func(f *File) bool { return f.Dir && f.Path != "task" })
}

// All are the rows, in no particular order.
func (t *Table) All() iter.Seq[*File] { return maps.Values(t.byPath) }

func (t *Table) names(of func(f *File) bool) (names []string) {
	for f := range t.All() {
		if !strings.Contains(f.Path, "/") && of(f) {
			names = append(names, f.Path)
		}
	}
	slices.Sort(names)
	return names
}

// InThread is a path relative to a process's directory without a leading task/<tid>/:
// a thread's directory holds what a process's does.
func InThread(rel string) string {
	if tail, ok := strings.CutPrefix(rel, "task/"); ok {
		if _, file, ok := strings.Cut(tail, "/"); ok {
			return file
		}
	}
	return rel
}

// Mask is a file of a process, of which full is what a reader with ptrace read access
// gets, as the kernel shows it to those without; not ok if that cannot be made of it.
func Mask(name string, full []byte) (masked []byte, ok bool) {
	switch f := Process.File(name); {
	case f.Same:
		return full, true
	case f.Mask != nil:
		return f.Mask(nil, full)
	}
	return nil, false
}
