package ninep

import (
	"math"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

func TestUname(t *testing.T) {
	for text, want := range map[string]vfs.Identity{
		"@0:":                       {},
		"@100:":                     {GID: 100},
		"@100:7":                    {GID: 100, Groups: []uint32{7}},
		"@7:0,100,4294967294":       {GID: 7, Groups: []uint32{0, 100, 4294967294}},
		"@65534:":                   {GID: vfs.OverflowID}, // as one has whom the user database does not know
		"@4294967294:1,2,3,4,5,6,7": {GID: 4294967294, Groups: []uint32{1, 2, 3, 4, 5, 6, 7}},
	} {
		gid, groups, err := parseUname(text)
		if err != nil || !want.Equal(vfs.Identity{GID: gid, Groups: groups}) {
			t.Errorf("%s: %d, %d, %v", text, gid, groups, err)
		}
		if again, err := formatUname(gid, groups); err != nil || again != text {
			t.Errorf("%s became %s, %v", text, again, err)
		}
	}
	for _, text := range []string{
		"", "@", "@:", "@1", "1:", "@1:,", "@1:2,", "@1:,2", "@1:2,,3", "@01:", "@1:02", "@+1:", "@1:+2", "@-1:", "@1 :", "@1: 2",
		"@4294967295:", "@1:4294967295", "@4294967296:", "@1:3,2", "@1:2,2", "@1:1", "@1:0,1", "@1:2\n", "@1:2:3", "@0x1:", "@1_0:",
		"@1:" + strings.Repeat("9", 70000), "@@1:", "root",
	} {
		if gid, groups, err := parseUname(text); err == nil {
			t.Errorf("%.80q is taken: %d, %d", text, gid, groups)
		}
	}
	// What is not in order is put in order, in a copy.
	groups := []uint32{9, 3, 5, 3, 7}
	if text, err := formatUname(5, groups); err != nil || text != "@5:3,7,9" || !slices.Equal(groups, []uint32{9, 3, 5, 3, 7}) {
		t.Errorf("%s, %v, %d", text, err, groups)
	}
	for _, gids := range [][]uint32{{vfs.NoID}, {0, 1, vfs.NoID}} {
		if text, err := formatUname(gids[0], gids[1:]); vfs.Errno(err) != syscall.EINVAL {
			t.Errorf("%d: %s, %v", gids, text, err)
		}
	}
}

// TestManyGroups: all fit, or the attach fails.
func TestManyGroups(t *testing.T) {
	most := func(first uint32) int { // groups from first on that fit, with the error of one more
		n, all := 0, manyGroups(first, maxGroups)
		for step := 1 << 15; step > 0; step /= 2 {
			if text, err := formatUname(0, all[:n+step]); err == nil {
				n += step
				if _, back, err := parseUname(text); err != nil || !slices.Equal(back, all[:n]) {
					t.Fatalf("%d groups from %d: %v", n, first, err)
				}
			} else if vfs.Errno(err) != syscall.E2BIG {
				t.Fatal(err)
			}
		}
		return n
	}
	if small, large := most(1), most(math.MaxUint32-maxGroups-1); small < 12000 || large < 5900 {
		t.Errorf("%d small numbers fit, %d large ones", small, large)
	}
}

func manyGroups(first uint32, n int) []uint32 {
	groups := make([]uint32, n)
	for i := range groups {
		groups[i] = first + uint32(i)
	}
	return groups
}

// FuzzUname: what is taken is what formatUname makes, and an identity's groups.
func FuzzUname(f *testing.F) {
	for _, text := range []string{"@0:", "@100:1,2,3", "@4294967295:", "@1:0,65534", "@01:", "root", "@1:2,", "@7:7"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		gid, groups, err := parseUname(text)
		if err != nil {
			return
		}
		if gid == vfs.NoID || slices.Contains(groups, vfs.NoID) || slices.Contains(groups, gid) || !slices.IsSorted(groups) {
			t.Fatalf("%q is %d, %d", text, gid, groups)
		}
		if again, err := formatUname(gid, groups); again != text || err != nil {
			t.Fatalf("%q became %q, %v", text, again, err)
		}
	})
}
