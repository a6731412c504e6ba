package daemon

import (
	"log/slog"

	"github.com/aggrfs/aggrfs/internal/access"
	"github.com/aggrfs/aggrfs/internal/config"
	"github.com/aggrfs/aggrfs/pkg/cachepolicy"
	"github.com/aggrfs/aggrfs/pkg/nodeset"
)

// warn logs what deserves a look in a configuration and the policy that it names.
func warn(log *slog.Logger, cfg *config.Config, policy *cachepolicy.Policy) {
	for _, w := range cfg.Warnings() {
		log.Warn(w)
	}
	for _, w := range policy.UnknownNodes(cfg.Names()) {
		log.Warn(w)
	}
}

// strangeNodes are nodes that allocations name and the cluster does not have. Each is logged
// once: a partition may be another cluster's, or names may be written otherwise there, and
// then users see none of their nodes.
type strangeNodes struct {
	seen []access.Allocation // at the last look
	told map[string]bool
}

// look logs what is new. It calls names, for those of the cluster, only if the allocations
// have changed.
func (s *strangeNodes) look(all []access.Allocation, names func() nodeset.Set, log *slog.Logger) {
	if len(all) == len(s.seen) && (len(all) == 0 || &all[0] == &s.seen[0]) {
		return
	}
	s.seen = all
	if s.told == nil {
		s.told = map[string]bool{}
	}
	known := names()
	here := make(map[string]bool, known.Len())
	for name := range known.All() {
		here[name] = true
	}
	var fresh []string
	for _, allocation := range all {
		for name := range allocation.Nodes.All() {
			if here[name] || s.told[name] || len(s.told) >= nodeset.MaxNames {
				continue
			}
			s.told[name] = true
			fresh = append(fresh, name)
		}
	}
	if len(fresh) > 0 {
		log.Warn("allocations name nodes that are not in the cluster", "nodes", nodeset.Of(fresh...).Unknown(known))
	}
}
