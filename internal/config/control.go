package config

import (
	"slices"
	"strings"

	"github.com/aggrfs/aggrfs/internal/access"
	"github.com/aggrfs/aggrfs/internal/config/strict"
	"github.com/aggrfs/aggrfs/internal/control"
)

// readControl reads what may be done to processes: none, own or all, or whose and which actions.
func readControl(v strict.Value) (c access.Control) {
	whose := func(v strict.Value) {
		switch text, ok := v.Text(); {
		case !ok, text == "none":
		case text == "own":
			c.Own = true
		case text == "all":
			c.All = true
		default:
			v.Fail("%q is neither none, own nor all", text)
		}
	}
	if !v.IsMapping() {
		whose(v)
		return c
	}
	have := false
	v.Fields(strict.Fields{
		"processes": func(v strict.Value) { have = true; whose(v) },
		"actions": func(v strict.Value) {
			c.Kinds = []string{}
			v.Texts(func(v strict.Value, kind string) {
				if !slices.Contains(control.Kinds(), kind) {
					v.Fail("%q is no kind of action; there are %s", kind, strings.Join(control.Kinds(), ", "))
					return
				}
				if !slices.Contains(c.Kinds, kind) {
					c.Kinds = append(c.Kinds, kind)
				}
			})
		},
	})
	if !have {
		v.Fail("processes is missing; write own or all")
	}
	return c
}
