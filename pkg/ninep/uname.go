package ninep

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// maxUname bounds a uname, in bytes: it is what the two bytes of a string's
// length can say (intro(5)).
const maxUname = 1<<16 - 1

// groupsMark begins a uname that says groups. No user's name does.
const groupsMark = "@"

var errUname = errors.New(`a uname that begins with "@" must be @GID:G1,G2,..., rising decimal numbers without GID`)

// formatUname is the uname that says the group and supplementary groups of a
// user who is named by number in n_uname:
//
//	@GID:G1,G2,...
//
// Numbers are decimal without zeros in front; the groups rise, and GID is not
// among them; "@100:" is a user of no other group than 100. There is one text
// for each identity.
//
// E2BIG: more groups than fit. They are never cut: to lack a group can give
// rights as well as take them.
func formatUname(gid uint32, groups []uint32) (string, error) {
	if !areGroups(gid, groups) {
		groups = slices.DeleteFunc(slices.Compact(slices.Sorted(slices.Values(groups))), func(g uint32) bool { return g == gid })
	}
	if gid == vfs.NoID || slices.Contains(groups, vfs.NoID) {
		return "", fmt.Errorf("the group %d is none: %w", vfs.NoID, syscall.EINVAL)
	}
	b := append(make([]byte, 0, 12+11*len(groups)), groupsMark...)
	b = append(strconv.AppendUint(b, uint64(gid), 10), ':')
	for i, g := range groups {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendUint(b, uint64(g), 10)
	}
	if len(b) > maxUname {
		return "", fmt.Errorf("%d groups take %d bytes in an attach, which has room for %d: %w", len(groups), len(b), maxUname, syscall.E2BIG)
	}
	return string(b), nil
}

// areGroups reports whether groups are as an identity has them.
func areGroups(gid uint32, groups []uint32) bool {
	for i, g := range groups {
		if g == gid || i > 0 && g <= groups[i-1] {
			return false
		}
	}
	return true
}

// saysGroups reports whether a uname is meant to be one of formatUname's.
func saysGroups(uname string) bool { return strings.HasPrefix(uname, groupsMark) }

// parseUname is the reverse of formatUname, and takes what that makes and nothing
// else.
func parseUname(uname string) (gid uint32, groups []uint32, err error) {
	text, ok := strings.CutPrefix(uname, groupsMark)
	first, rest, ok2 := strings.Cut(text, ":")
	gid, ok3 := parseGroup(first)
	if !ok || !ok2 || !ok3 || len(uname) > maxUname {
		return 0, nil, errUname
	}
	if rest != "" {
		groups = make([]uint32, 0, strings.Count(rest, ",")+1)
		for one := range strings.SplitSeq(rest, ",") {
			g, ok := parseGroup(one)
			if !ok {
				return 0, nil, errUname
			}
			groups = append(groups, g)
		}
	}
	if !areGroups(gid, groups) {
		return 0, nil, errUname
	}
	return gid, groups, nil
}

// parseGroup takes a number as formatUname writes it.
func parseGroup(s string) (uint32, bool) {
	g, ok := parseID(s)
	return g, ok && g != vfs.NoID && (s[0] != '0' && s[0] != '+' || s == "0")
}
