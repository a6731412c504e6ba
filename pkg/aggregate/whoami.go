package aggregate

import (
	"fmt"
	"strings"
	"time"

	"github.com/aggrfs/aggrfs/internal/plaintext"
	"github.com/aggrfs/aggrfs/pkg/nodeset"
)

// whoamiTable is cluster/whoami: who the reader is to this front end, what they
// may see, and which rule says so. A line a fact: its name, then the fact.
func (v *view) whoamiTable() []byte {
	r := v.reach()
	names := make([]string, len(r.nodes))
	for i, n := range r.nodes {
		names[i] = string(n.name)
	}
	var groups []string
	for _, g := range r.scope.Groups(v.who) {
		groups = append(groups, fmt.Sprint(g))
	}
	rows := [][]string{
		{"user", v.userName(v.who.UID)},
		{"groups", strings.Join(groups, ",")},
		{"certificate", orDash(v.who.Cert)},
		{"rule", r.scope.Rule},
		{"place", orDash(r.scope.Place)},
		{"nodes", fmt.Sprintf("%d: %s", len(r.nodes), orDash(nodeset.Of(names...).String()))},
		{"processes", v.whose(r)},
		{"denied", orDash(strings.Join(r.scope.Denied(), " "))},
	}
	if end := r.scope.End(); !end.IsZero() {
		rows = append(rows, []string{"until", end.Format(time.RFC3339)})
	}
	if s := v.c.access.Source(); s != nil && (r.scope.Allocated() || v.seesAll()) {
		rows = append(rows, []string{"allocations", sourceText(s, v.c.cfg.Now(), v.seesAll())})
	}
	return plaintext.Table(rows)
}

// userName is a user by name and number.
func (v *view) userName(uid uint32) string {
	name, number := v.c.users.UserName(uid), fmt.Sprint(uid)
	if name == number {
		return number
	}
	return name + " (" + number + ")"
}

// whose says whose processes the view has.
func (v *view) whose(r *reach) string {
	if !v.limited() {
		return "all"
	}
	var users []string
	for _, uid := range r.scope.UIDs() {
		if v.sees(uid) {
			users = append(users, v.userName(uid))
		}
	}
	if v.user != nil && r.scope.AllProcesses() {
		users = append(users, v.userName(*v.user))
	}
	return orDash(strings.Join(users, ", "))
}
