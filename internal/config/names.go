package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aggrfs/aggrfs/internal/config/strict"
	"github.com/aggrfs/aggrfs/internal/spelling"
	"github.com/aggrfs/aggrfs/pkg/nodeset"
)

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
