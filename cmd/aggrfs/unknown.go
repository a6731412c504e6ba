package main

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

// An outside tells of nodes that allocations name and the cluster has not, each
// once: a partition may be another cluster's, or names may be written otherwise
// there, and then users see none of their nodes.
type outside struct {
	seen []access.Allocation // when it was last looked
	told map[string]bool
}

// look logs what is new. It asks for the names of the cluster if there is anything.
func (o *outside) look(all []access.Allocation, names func() nodeset.Set, log *slog.Logger) {
	if len(all) == len(o.seen) && (len(all) == 0 || &all[0] == &o.seen[0]) {
		return
	}
	o.seen = all
	if o.told == nil {
		o.told = map[string]bool{}
	}
	known := names()
	here := make(map[string]bool, known.Len())
	for name := range known.All() {
		here[name] = true
	}
	var fresh []string
	for _, allocation := range all {
		for name := range allocation.Nodes.All() {
			if here[name] || o.told[name] || len(o.told) >= nodeset.MaxNames {
				continue
			}
			o.told[name] = true
			fresh = append(fresh, name)
		}
	}
	if len(fresh) > 0 {
		log.Warn("allocations name nodes that are not in the cluster", "nodes", nodeset.Of(fresh...).Unknown(known))
	}
}
