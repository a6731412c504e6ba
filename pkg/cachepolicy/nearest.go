package cachepolicy

import (
	"slices"
	"strings"

	"github.com/aggrfs/aggrfs/internal/spelling"
)

// minHint is the shortest name that is compared with others: short ones are alike
// by chance.
const minHint = 4

// nearestFile finds in a pattern without braces a name that is none of /proc's but nearly
// one, and that one; "" is that there is none.
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
