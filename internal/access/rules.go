package access

import (
	"slices"
	"strings"

	"github.com/aggrfs/aggrfs/internal/nodeset"
	"github.com/aggrfs/aggrfs/internal/procpath"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// Rules are who sees what. They are never changed once in force.
type Rules struct {
	Admins []Principal
	Views  []View // the first that is for somebody counts
}

// A Kind is what a Principal names.
type Kind int

// The kinds.
const (
	User Kind = iota
	Group
	Certificate
	Anyone // every local user; not who has a certificate and no user
)

// A Principal is for whom a rule is.
type Principal struct {
	Kind Kind
	Name string // of a user or group also its number; "" for Anyone
}

func (p Principal) String() string {
	switch p.Kind {
	case Group:
		return "group " + p.Name
	case Certificate:
		return "certificate " + p.Name
	case Anyone:
		return "any user"
	}
	return "user " + p.Name
}

// A View is one rule.
type View struct {
	For       []Principal
	Nodes     Nodes
	Processes Processes
	Deny      []*procpath.Pattern // files that do not exist, nor what is below them
	Place     string              // where it stands, for people: "views.d/chem.yaml:3"
}

// Nodes is which nodes a view grants: the union.
type Nodes struct {
	All       bool
	Allocated bool // those that are allocated to who asks
	Set       nodeset.Set
}

func (n Nodes) String() string {
	var parts []string
	if n.All {
		parts = append(parts, "all")
	}
	if n.Allocated {
		parts = append(parts, "allocated")
	}
	if n.Set.Len() > 0 {
		parts = append(parts, n.Set.String())
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ",")
}

// Processes is whose processes a view grants: the union.
type Processes struct {
	All   bool
	Own   bool
	Users []string // names or numbers
}

func (p Processes) String() string {
	switch {
	case p.All:
		return "all"
	case p.Own:
		return strings.Join(append([]string{"own"}, p.Users...), ",")
	case len(p.Users) > 0:
		return strings.Join(p.Users, ",")
	}
	return "none"
}

// Names resolves names of users and groups. What is a number stands for itself.
// It may be called concurrently and answers soon.
type Names interface {
	// UID is the number of a user by name; false if there is none.
	UID(name string) (uint32, bool)
	// GID is the number of a group by name; false if there is none.
	GID(name string) (uint32, bool)
	// UserName is the name of a user by number, or the number.
	UserName(uid uint32) string
}

// is tells whether a principal is who.
func (p Principal) is(who vfs.Identity, names Names) bool {
	switch p.Kind {
	case Certificate:
		return who.Cert != "" && who.Cert == p.Name
	case Anyone:
		return isSomebody(who.UID)
	case User:
		uid, ok := names.UID(p.Name)
		return ok && uid == who.UID && isSomebody(uid)
	case Group:
		gid, ok := names.GID(p.Name)
		return ok && isSomebody(gid) && isSomebody(who.UID) && (gid == who.GID || slices.Contains(who.Groups, gid))
	}
	return false
}

// isSomebody tells whether an id is that of a user or group, rather than one
// that stands for nobody in particular.
func isSomebody(id uint32) bool { return id != vfs.OverflowID && id != vfs.NoID }
