package config

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/aggrfs/aggrfs/internal/config/strict"
	"github.com/aggrfs/aggrfs/internal/procpath"
	"github.com/aggrfs/aggrfs/internal/spelling"
	"github.com/aggrfs/aggrfs/internal/userdb"
	"github.com/aggrfs/aggrfs/pkg/nodeset"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// A Mention is a name that the configuration has of something that is not in it, and
// that may be mistyped.
type Mention struct {
	kind mentioned
	name string
	at   strict.Value
	file *procpath.Pattern // of aFile
}

// Mentions are those of one configuration, in the order of its files.
type Mentions []Mention

// Equal is true: where a name stands makes no difference between configurations, and
// which there are the rest of them says.
func (Mentions) Equal(Mentions) bool { return true }

// A mentioned is what a Mention names.
type mentioned int

const (
	aUser        mentioned = iota
	aGroup                 //
	aCertificate           // in a view or among the administrators
	someNodes              // of a view: a nodeset, or the word allocated
	someUser               // of a view's processes: a user, or nearly a keyword
	aFile                  // that a view denies
	theCommand             // a command for which no user is named
)

// Directory is the user database; [userdb.DB] is one.
type Directory interface {
	User(ctx context.Context, nameOrNumber string) (userdb.User, error)
	Group(ctx context.Context, nameOrNumber string) (uint32, error)
	NearestUser(ctx context.Context, name string) string
	NearestGroup(ctx context.Context, name string) string
	Subordinate(uid uint32) (owner string, is bool)
	SubordinateGroup(gid uint32) (owner string, is bool)
}

// Doubts are what in the configuration is likely to be a mistake, though it means
// something: users and groups that the user database does not have, words that are
// nearly others. Each has its place, the line and a caret, as a fault has. What the
// database does not say is no doubt. unmatched finds in a pattern what stands for no file
// of /proc, and what was probably meant. It takes as long as ctx allows.
func (c *Config) Doubts(ctx context.Context, db Directory, unmatched func(*procpath.Pattern) (text, near string, is bool)) []string {
	d := doubter{ctx: ctx, db: db, unmatched: unmatched, c: c, nodes: c.Names(), certificates: slices.Concat(c.FrontEnds, slices.Sorted(maps.Keys(c.Certificates)))}
	for _, m := range c.Mentions {
		d.look(m)
	}
	return d.all
}

type doubter struct {
	ctx          context.Context
	db           Directory
	unmatched    func(*procpath.Pattern) (text, near string, is bool)
	c            *Config
	nodes        nodeset.Set
	certificates []string
	all          []string
}

func (d *doubter) add(m Mention, format string, args ...any) {
	d.all = append(d.all, m.at.At(0, format, args...).Error())
}

// meant is the end of a sentence about a name that does not exist.
func meant(near string) string {
	if near == "" {
		return ""
	}
	return "; did you mean " + strconv.Quote(near) + "?"
}

func (d *doubter) look(m Mention) {
	switch m.kind {
	case aUser, someUser:
		d.user(m)
	case aGroup:
		d.group(m)
	case aCertificate:
		r := reader{config: d.c}
		if !r.listensTLS() {
			d.add(m, "nobody can show a certificate here: no address of listen has tls: in front")
		} else if near := spelling.Nearest(m.name, d.certificates); near != "" && near != m.name && !slices.Contains(d.certificates, m.name) {
			d.add(m, "a certificate %q is named nowhere else%s", m.name, meant(near))
		}
	case someNodes:
		d.keyword(m)
	case aFile:
		switch text, near, is := d.unmatched(m.file); {
		case is && near != "":
			d.add(m, "%q matches no file of /proc%s", text, meant(near))
		case is:
			d.add(m, "%q matches no file of /proc that is known here: nothing is denied by it", text)
		}
	case theCommand:
		if os.Geteuid() == 0 {
			d.add(m, "no user is named for the command, which runs as nobody since aggrfs runs as root: name one of its own with \"user\", since whoever acts as its user can change what it prints")
		}
	}
}

// keyword looks at the nodes of a view: allocated, and words that are no node and
// nearly a keyword.
func (d *doubter) keyword(m Mention) {
	switch {
	case m.name == "allocated":
		if d.c.Allocations == nil {
			d.add(m, "nothing is allocated to anybody: the key allocations says where from, and is missing")
		}
	case m.name == "all":
	default:
		for _, name := range separated(m.name) {
			if near := nearKeyword(name, d.nodes); near != "" {
				d.add(m, "there is no node %q%s", name, meant(near))
			}
		}
	}
}

func (d *doubter) user(m Mention) {
	if n, is := userdb.Number(m.name); is {
		if owner, is := d.db.Subordinate(n); is {
			d.add(m, "uid %d is a subordinate id of %s (/etc/subuid), which stands for nobody", n, owner)
		}
		d.nobody(m, "user", n)
		return
	}
	u, err := d.db.User(d.ctx, m.name)
	switch {
	case errors.Is(err, userdb.ErrUnknown):
		near := ""
		if m.kind == someUser {
			near = spelling.Nearest(strings.ToLower(m.name), []string{"all", "own"})
		}
		if near == "" {
			near = d.db.NearestUser(d.ctx, m.name)
		}
		d.add(m, "the user database has no user %q%s", m.name, meant(near))
	case err == nil:
		d.nobody(m, "user", u.UID)
	}
}

func (d *doubter) group(m Mention) {
	if n, is := userdb.Number(m.name); is {
		if owner, is := d.db.SubordinateGroup(n); is {
			d.add(m, "gid %d is a subordinate id of %s (/etc/subgid), which the kernel's word does not put anybody in", n, owner)
		}
		d.nobody(m, "group", n)
		return
	}
	gid, err := d.db.Group(d.ctx, m.name)
	switch {
	case errors.Is(err, userdb.ErrUnknown):
		d.add(m, "the user database has no group %q%s", m.name, meant(d.db.NearestGroup(d.ctx, m.name)))
	case err == nil:
		d.nobody(m, "group", gid)
	}
}

func (d *doubter) nobody(m Mention, what string, id uint32) {
	if id == vfs.OverflowID || id == vfs.NoID {
		d.add(m, "the %s %s has the number %d, which stands for nobody: nothing is for it", what, m.name, id)
	}
}

// failNodeset notes what is wrong with a nodeset, empty what is to be written
// where it names nothing.
func failNodeset(v strict.Value, text string, err error, empty string) {
	var e *nodeset.Error
	switch {
	case !errors.As(err, &e):
		v.Fail("%v", err)
	case e.Empty():
		v.Fail("the nodeset %q is empty; %s", text, empty)
	default:
		v.FailAt(e.Offset, "bad nodeset %q: %s", text, e.Reason)
	}
}

// Names are the cluster's nodes, the head too.
func (c *Config) Names() nodeset.Set {
	names := make([]string, 0, len(c.Nodes)+1)
	for _, n := range c.Nodes {
		names = append(names, n.Name)
	}
	return nodeset.Of(append(names, c.Head)...)
}

// unknownNodes says which views name nodes that are not in the cluster: they may come
// yet, or the view may be for others than it seems. Those that are nearly keywords are
// left to Doubts, so that each is said once.
func (c *Config) unknownNodes() (warnings []string) {
	known := c.Names()
	for _, view := range c.Access.Views {
		set := view.Nodes.Set
		var keywords []string
		for name := range set.Minus(known).All() {
			if nearKeyword(name, known) != "" {
				keywords = append(keywords, name)
			}
		}
		if unknown := set.Minus(nodeset.Of(keywords...)).Unknown(known); unknown != "" {
			warnings = append(warnings, fmt.Sprintf("%s: the view names nodes that are not in the cluster: %s", view.Place, unknown))
		}
	}
	return warnings
}

// nearKeyword is the keyword that a name among a view's nodes was probably meant to be,
// or "": there is a node of that name, or one that is more likely meant.
func nearKeyword(name string, known nodeset.Set) string {
	if known.Contains(name) || nodeset.Nearest(name, slices.Collect(known.All())) != "" {
		return ""
	}
	return spelling.Nearest(strings.ToLower(name), []string{"all", "allocated"})
}
