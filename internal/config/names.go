package config

import (
	"errors"
	"fmt"

	"github.com/aggrfs/aggrfs/internal/config/strict"
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
// yet, or the view may be for others than it seems.
func (c *Config) unknownNodes() (warnings []string) {
	known := c.Names()
	for _, view := range c.Access.Views {
		if unknown := view.Nodes.Set.Unknown(known); unknown != "" {
			warnings = append(warnings, fmt.Sprintf("%s: the view names nodes that are not in the cluster: %s", view.Place, unknown))
		}
	}
	return warnings
}
