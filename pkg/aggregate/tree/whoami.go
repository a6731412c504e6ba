package tree

import (
	"fmt"
	"strings"
	"time"

	"github.com/aggrfs/aggrfs/internal/access"
	"github.com/aggrfs/aggrfs/internal/plaintext"
	"github.com/aggrfs/aggrfs/pkg/nodeset"
)

// whoamiTable is cluster/whoami: who the reader is to this front end, what they
// may see, and which rule says so. A line a fact: its name, then the fact.
func (v viewTree) whoamiTable() []byte {
	nodes, scope := v.Nodes(), v.Scope()
	names := make([]string, len(nodes))
	for i, n := range nodes {
		names[i] = string(n.Name)
	}
	var groups []string
	for _, g := range scope.Groups(v.Who) {
		groups = append(groups, fmt.Sprint(g))
	}
	rows := [][]string{
		{"user", v.userName(v.Who.UID)},
		{"groups", strings.Join(groups, ",")},
		{"certificate", orDash(v.Who.Cert)},
		{"rule", scope.Rule},
		{"place", orDash(scope.Place)},
		{"nodes", fmt.Sprintf("%d: %s", len(nodes), orDash(nodeset.Of(names...).String()))},
		{"processes", v.whose(scope)},
		{"denied", orDash(strings.Join(scope.Denied(), " "))},
	}
	if end := scope.End(); !end.IsZero() {
		rows = append(rows, []string{"until", end.Format(time.RFC3339)})
	}
	if s := v.t.Access.Source(); s != nil && (scope.Allocated() || v.SeesAll()) {
		rows = append(rows, []string{"allocations", sourceText(s, v.t.Now(), v.SeesAll())})
	}
	return plaintext.Table(rows)
}

// userName is a user by name and number.
func (v viewTree) userName(uid uint32) string {
	name, number := v.t.Users.UserName(uid), fmt.Sprint(uid)
	if name == number {
		return number
	}
	return name + " (" + number + ")"
}

// whose says whose processes the view has.
func (v viewTree) whose(scope *access.Scope) string {
	if !v.Limited() {
		return "all"
	}
	var users []string
	for _, uid := range scope.UIDs() {
		if v.Sees(uid) {
			users = append(users, v.userName(uid))
		}
	}
	if v.User() != nil && scope.AllProcesses() {
		users = append(users, v.userName(*v.User()))
	}
	return orDash(strings.Join(users, ", "))
}
