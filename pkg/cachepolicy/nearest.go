package cachepolicy

import (
	"slices"
	"strings"

	"github.com/aggrfs/aggrfs/internal/procpath"
	"github.com/aggrfs/aggrfs/internal/spelling"
)

// minHint is the shortest name that is compared with others: short ones are alike
// by chance.
const minHint = 4

// NearestFile finds in a pattern the first name that is none of /proc's but nearly one,
// and that one; "" is that there is none.
func NearestFile(p *procpath.Pattern) (name, near string) {
	for _, text := range p.Alternatives() {
		if name, near = nearestFile(text); near != "" {
			return name, near
		}
	}
	return "", ""
}

// nearestFile is NearestFile for a pattern without braces.
func nearestFile(text string) (name, near string) {
	name, inProcess := strings.CutPrefix(text, processDir)
	name = strings.TrimPrefix(name, taskDir+"<tid>/")
	name, _, _ = strings.Cut(name, "/")
	if strings.ContainsAny(name, "*<") || len(name) < minHint {
		return "", ""
	}
	names, is := known(inProcess, name)
	if is {
		return "", ""
	}
	slices.Sort(names)
	return name, spelling.Nearest(name, names)
}
