package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/aggrfs/aggrfs/internal/access"
	"github.com/aggrfs/aggrfs/internal/config/strict"
	"github.com/aggrfs/aggrfs/internal/procpath"
	"github.com/aggrfs/aggrfs/pkg/nodeset"
)

// ViewsDir is the directory beside a configuration whose *.yaml have further
// views, in the order of their names.
const ViewsDir = "views.d"

// viewFiles are the files with further views of a configuration.
func viewFiles(config string) ([]string, error) {
	dir := filepath.Join(filepath.Dir(config), ViewsDir)
	entries, err := os.ReadDir(dir) // sorted
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	var files []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".yaml") && !strings.HasPrefix(e.Name(), ".") {
			files = append(files, filepath.Join(dir, e.Name()))
		}
	}
	return files, nil
}

// parseViews reads a file of views.d.
func parseViews(name string, data []byte, mentions *Mentions) ([]access.View, error) {
	doc := strict.Parse(name, data)
	if !doc.Parsed() {
		return nil, doc.Err()
	}
	var views []access.View
	doc.Root().Fields(strict.Fields{"views": func(v strict.Value) { views = readViews(name, v, mentions) }})
	return views, doc.Err()
}

func (r *reader) views(v strict.Value) {
	r.config.Access.Views = readViews(r.name, v, &r.config.Mentions)
}

func readViews(file string, v strict.Value, mentions *Mentions) (views []access.View) {
	v.List(func(v strict.Value) {
		if view, ok := readView(v, mentions); ok {
			view.Place = fmt.Sprintf("%s:%d", file, v.Line())
			views = append(views, view)
		}
	})
	return views
}

func readView(entry strict.Value, mentions *Mentions) (view access.View, ok bool) {
	haveNodes := false
	view.Processes = access.Processes{Own: true}
	who := func(kind access.Kind) func(strict.Value) {
		return func(v strict.Value) { view.For = append(view.For, principals(v, kind, mentions)...) }
	}
	named := false
	note := func(f func(strict.Value)) func(strict.Value) {
		return func(v strict.Value) { named = true; f(v) }
	}
	if !entry.Fields(strict.Fields{
		"users": note(who(access.User)), "groups": note(who(access.Group)), "certificates": note(who(access.Certificate)),
		"nodes":     func(v strict.Value) { haveNodes = true; view.Nodes = readNodes(v, mentions) },
		"processes": func(v strict.Value) { view.Processes = readProcesses(v, mentions) },
		"deny": func(v strict.Value) {
			v.Texts(func(v strict.Value, text string) {
				p, err := procpath.Compile(text)
				var e *procpath.Error
				if errors.As(err, &e) {
					v.FailAt(e.Offset, "bad pattern %q: %s", text, e.Reason)
					return
				}
				view.Deny = append(view.Deny, p)
				*mentions = append(*mentions, Mention{kind: aFile, name: text, at: v, file: p})
			})
		},
	}) {
		return view, false
	}
	if !named {
		entry.Fail("nobody is named; say for whom this view is, with users, groups or certificates (users: \"*\" is every user)")
	}
	if !haveNodes {
		entry.Fail("nodes is missing; write a nodeset, all, or allocated")
	}
	return view, true
}

// readNodes reads which nodes a view grants.
func readNodes(v strict.Value, mentions *Mentions) (n access.Nodes) {
	v.Texts(func(v strict.Value, text string) {
		*mentions = append(*mentions, Mention{kind: someNodes, name: text, at: v})
		words := separated(text)
		switch {
		case text == "all":
			n.All = true
		case text == "allocated":
			n.Allocated = true
		case len(words) > 1 && (slices.Contains(words, "all") || slices.Contains(words, "allocated")):
			v.Fail("%q is no nodeset, as all and allocated are words of a list; write %s", text, listOf(words))
		default:
			set, err := nodeset.Parse(text)
			if err != nil {
				failNodeset(v, text, err, "write a nodeset, all, or allocated")
				return
			}
			n.Set = n.Set.Union(set)
		}
	})
	return n
}

// readProcesses reads whose processes a view grants.
func readProcesses(v strict.Value, mentions *Mentions) (p access.Processes) {
	count := 0
	v.Texts(func(v strict.Value, text string) {
		count++
		switch {
		case text == "all":
			p.All = true
		case text == "own":
			p.Own = true
		case severalNames(text):
			v.Fail("%q is no name; write a list: %s", text, listOf(separated(text)))
		case text == "" || strings.ContainsAny(text, "*:/ \t\n"):
			v.Fail("%q is neither all, own nor a user's name", text)
		default:
			p.Users = append(p.Users, text)
			*mentions = append(*mentions, Mention{kind: someUser, name: text, at: v})
		}
	})
	if p.All && count > 1 {
		v.Fail("all stands alone: it is everybody")
	}
	return p
}
