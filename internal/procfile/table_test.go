package procfile

import (
	"strings"
	"testing"
)

// What no row says must be the careful answer.
func TestUnknownFiles(t *testing.T) {
	for _, table := range []*Table{Process, Root} {
		f := table.File("heard/of/by/nobody")
		if *f.fields() != (fields{}) || f.Mask != nil || f.Rewrite != nil || f.Sum != nil {
			t.Errorf("an unknown file is %+v", f)
		}
		if !table.MayBlock("unheard") || !table.MayBlockIn("unheard") {
			t.Error("an unknown file cannot block")
		}
	}
	if m, ok := Mask("unheard", []byte("x")); ok {
		t.Errorf("an unknown file is shown to all as %q", m)
	}
	if Guarded("task/5/environ") == "" || Guarded("fd/3") == "" || Guarded("stat") != "" {
		t.Error("guarded are others")
	}
}

// fields are those of a row that can be compared.
type fields struct {
	dir, link, quick, once, public, same, wide, counts, template, readOnce bool
	hidden, ownAlone, self, guarded                                        string
}

func (f *File) fields() *fields {
	return &fields{f.Dir, f.Link, f.Quick, f.Once, f.Public, f.Same, f.NodeWide, f.CountsOthers, f.Template, f.ReadOnce,
		f.Hidden, f.OwnAlone, f.Self, f.Guarded}
}

// Rows must not contradict each other.
func TestRows(t *testing.T) {
	for _, table := range []*Table{Process, Root} {
		for f := range table.All() {
			if table.File(f.Path) != f {
				t.Errorf("%s has two rows", f.Path)
			}
			if f.Same && (f.Guarded != "" || f.Mask != nil) {
				t.Errorf("%s is the same for all, and guarded or masked", f.Path)
			}
			if f.Once && f.Dir || f.Same && !f.Public {
				t.Errorf("%s: %+v", f.Path, *f.fields())
			}
			if strings.Contains(f.Path, "*") && f.Hidden == "" && f.Rewrite == nil && !f.Link {
				t.Errorf("%s says nothing", f.Path)
			}
		}
	}
	for path, want := range map[string]bool{"": false, "task": false, "task/5": false, "task/5/fd": false, "fd": false, "net": true, "map_files": true, "task/5/net": true, "stat": true} {
		if got := Process.MayBlockIn(path); got != want {
			t.Errorf("looking into %q may block: %v", path, got)
		}
	}
	for path, want := range map[string]bool{"stat": false, "task/5/stat": false, "ns/net": false, "cmdline": true, "fd": true, "fdinfo/3": true, "attr/current": true} {
		if got := Process.MayBlock(path); got != want {
			t.Errorf("reading %q may block: %v", path, got)
		}
	}
	if Root.MayBlockIn("") || !Root.MayBlockIn("task/5") || !Root.MayBlock("stat") {
		t.Error("the root is taken for a process")
	}
}
