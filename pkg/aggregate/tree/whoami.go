package tree

import (
	"fmt"
	"strings"
	"time"

	"github.com/aggrfs/aggrfs/internal/access"
	"github.com/aggrfs/aggrfs/pkg/aggregate/report"
)

// whoamiTable is cluster/whoami.
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
	w := report.Whoami{
		User: v.userText(v.Who.UID), Groups: strings.Join(groups, ","), Certificate: v.Who.Cert,
		Rule: scope.Rule, Place: scope.Place, Nodes: report.NodesText(names),
		Processes: v.whose(scope), Denied: strings.Join(scope.Denied(), " "),
	}
	if end := scope.End(); !end.IsZero() {
		w.Until = end.Format(time.RFC3339)
	}
	if s := v.t.Access.Source(); s != nil && (scope.Allocated() || v.SeesAll()) {
		w.Allocations = report.AllocationsText(s, v.t.Now(), v.SeesAll())
	}
	return report.EncodeWhoami(w)
}

// userText is a user by name and number.
func (v viewTree) userText(uid uint32) string { return report.UserText(v.t.Users.UserName(uid), uid) }

// whose says whose processes the view has.
func (v viewTree) whose(scope *access.Scope) string {
	if !v.Limited() {
		return "all"
	}
	var users []string
	for _, uid := range scope.UIDs() {
		if v.Sees(uid) {
			users = append(users, v.userText(uid))
		}
	}
	if v.User() != nil && scope.AllProcesses() {
		users = append(users, v.userText(*v.User()))
	}
	return strings.Join(users, ", ")
}
