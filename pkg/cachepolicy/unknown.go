package cachepolicy

import (
	"fmt"

	"github.com/aggrfs/aggrfs/pkg/nodeset"
)

// UnknownNodes says which rules name nodes that are not among those known: a rule for
// them is good for nothing, or not for those that were meant.
func (p *Policy) UnknownNodes(known nodeset.Set) (warnings []string) {
	for _, r := range p.Rules {
		names := make([]string, 0, len(r.Nodes.set))
		for name := range r.Nodes.set {
			names = append(names, name)
		}
		if unknown := nodeset.Of(names...).Unknown(known); unknown != "" {
			warnings = append(warnings, fmt.Sprintf("%s:%d: the rule names nodes that are not in the cluster: %s", p.Name, r.Line, unknown))
		}
	}
	return warnings
}
