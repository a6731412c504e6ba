package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
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
		"control":   func(v strict.Value) { view.Control = readControl(v) },
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

// admins reads who sees everything.
func (r *reader) admins(v strict.Value) {
	r.config.Access.Admins = nil
	add := func(kind access.Kind) func(strict.Value) {
		return func(v strict.Value) {
			r.config.Access.Admins = append(r.config.Access.Admins, principals(v, kind, &r.config.Mentions)...)
		}
	}
	v.Fields(strict.Fields{"users": func(v strict.Value) {
		for _, p := range principals(v, access.User, &r.config.Mentions) {
			if p.Kind == access.Anyone {
				v.Fail("\"*\" would make every user an administrator; name them")
				return
			}
			r.config.Access.Admins = append(r.config.Access.Admins, p)
		}
	}, "groups": add(access.Group), "certificates": add(access.Certificate)})
}

// mentionOf is what names of a kind of principal are mentions of.
var mentionOf = map[access.Kind]mentioned{access.User: aUser, access.Group: aGroup, access.Certificate: aCertificate}

// separated are the words of a text that commas and blanks separate; not those in
// brackets.
func separated(text string) (words []string) {
	depth := 0
	return strings.FieldsFunc(text, func(r rune) bool {
		switch r {
		case '[':
			depth++
		case ']':
			depth--
		}
		return depth <= 0 && strings.ContainsRune(", \t", r)
	})
}

// severalNames reports whether a text is several names with commas between them.
func severalNames(text string) bool { return strings.Contains(text, ",") && len(separated(text)) > 1 }

// arguments are the words of a command as a shell has them, in quotes or not.
func arguments(text string) (words []string) {
	var quote rune
	for _, word := range strings.FieldsFunc(text, func(r rune) bool {
		switch {
		case quote == 0 && (r == '"' || r == '\''):
			quote = r
		case r == quote:
			quote = 0
		}
		return quote == 0 && strings.ContainsRune(" \t\n", r)
	}) {
		if word = strings.NewReplacer(`"`, "", "'", "").Replace(word); word != "" {
			words = append(words, word)
		}
	}
	return words
}

// listOf is a list as YAML has it; a word that is more than letters, digits and what
// paths and options are made of has quotes.
func listOf(words []string) string {
	texts := make([]string, len(words))
	for i, word := range words {
		if texts[i] = word; strings.Trim(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-=") != "" || strings.Trim(word, "-") == "" {
			texts[i] = "\"" + strings.NewReplacer("\\", "\\\\", "\"", "\\\"").Replace(word) + "\""
		}
	}
	return "[" + strings.Join(texts, ", ") + "]"
}

// principals reads one name or a list of them.
func principals(v strict.Value, kind access.Kind, mentions *Mentions) (all []access.Principal) {
	v.Texts(func(v strict.Value, name string) {
		switch {
		case name == "":
			v.Fail("a name is empty")
		case name == "*" && kind == access.User:
			all = append(all, access.Principal{Kind: access.Anyone})
		case severalNames(name):
			v.Fail("%q is no name; write a list: %s", name, listOf(separated(name)))
		case strings.ContainsAny(name, "*:/ \t\n"):
			v.Fail("%q cannot be the name of a %s", name, strings.TrimSuffix(access.Principal{Kind: kind}.String(), " "))
		default:
			all = append(all, access.Principal{Kind: kind, Name: name})
			*mentions = append(*mentions, Mention{kind: mentionOf[kind], name: name, at: v})
		}
	})
	return all
}

// allocations reads where the users' nodes come from.
func (r *reader) allocations(v strict.Value) {
	s := &access.Source{}
	haveUser, at := false, v
	if !v.Fields(strict.Fields{
		"file": func(v strict.Value) { absolute(v, &s.File) },
		"user": func(v strict.Value) {
			haveUser = true
			switch name, ok := v.Text(); {
			case ok && (name == "" || !isUser(name)):
				v.Fail("%q is no user's name or number", name)
			case ok:
				s.User = name
				r.config.Mentions = append(r.config.Mentions, Mention{kind: aUser, name: name, at: v})
			}
		},
		"command": func(v strict.Value) {
			at = v
			v.Texts(func(_ strict.Value, word string) { s.Command = append(s.Command, word) })
			// The program of a list of one can have a blank in its name.
			if words := arguments(strings.Join(s.Command, " ")); len(s.Command) == 1 && len(words) > 1 && (!v.IsList() || words[1][0] == '-') {
				v.Fail("%q is a program with arguments; write a list: %s", s.Command[0], listOf(words))
				return
			}
			if len(s.Command) > 0 && !path.IsAbs(s.Command[0]) {
				v.Fail("%q is no absolute path of a program", s.Command[0])
			}
		},
		"interval": span(&s.Interval), "timeout": span(&s.Timeout), "max_age": span(&s.MaxAge),
	}) {
		return
	}
	switch {
	case s.File == "" && len(s.Command) == 0:
		v.Fail("there must be a file or a command: allocations: {file: /var/lib/aggrfs/allocations}")
	case s.File != "" && len(s.Command) > 0:
		v.Fail("both a file and a command; keep one")
	case s.File != "" && haveUser:
		v.Fail("user is for a command; a file is read as the user that aggrfs runs as")
	case len(s.Command) > 0 && !haveUser:
		r.config.Mentions = append(r.config.Mentions, Mention{kind: theCommand, name: "", at: at})
	}
	r.config.Allocations = s
}
