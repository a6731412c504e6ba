package access

import (
	"strings"

	"github.com/aggrfs/aggrfs/internal/procpath"
	"github.com/aggrfs/aggrfs/pkg/nodeset"
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
	Anyone // every user of the user database; not who has a certificate and no user
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
