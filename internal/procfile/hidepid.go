package procfile

import (
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// Options are those of a procfs that decide who may see which process, see proc(5).
type Options struct {
	HidePID int    // hidepid=: what is hidden of the processes of others
	GID     uint32 // gid=: its members see all, unless HidePID is HideUntraced
}

// Values of hidepid=.
const (
	HideNothing  = 0 // "off"
	HideContent  = 1 // "noaccess": what is in the directories of others
	HideProcess  = 2 // "invisible": that they exist
	HideUntraced = 4 // "ptraceable": the same, and from the members of gid= too
)

// Strictest is for a procfs whose options are not known.
var Strictest = Options{HidePID: HideUntraced}

// hidePIDs are the values as mountinfo has them: names since Linux 5.8.
var hidePIDs = map[string]int{
	"off": HideNothing, "noaccess": HideContent, "invisible": HideProcess, "ptraceable": HideUntraced,
	"0": HideNothing, "1": HideContent, "2": HideProcess, "4": HideUntraced,
}

// ParseOptions reads the options of a procfs, "rw,gid=5,hidepid=2". Where one has a value
// that is not known they are the strictest.
func ParseOptions(text string) (o Options) {
	for opt := range strings.SplitSeq(text, ",") {
		key, value, _ := strings.Cut(opt, "=")
		switch key {
		case "hidepid":
			hide, ok := hidePIDs[value]
			if !ok {
				return Strictest
			}
			o.HidePID = hide
		case "gid":
			gid, err := strconv.ParseUint(value, 10, 32)
			if err != nil {
				return Strictest
			}
			o.GID = uint32(gid)
		}
	}
	return o
}

// Hide reports whether a procfs hides that much of the processes of others from who,
// where who has no ptrace access to them.
func (o Options) Hide(who *vfs.Identity, what int) bool {
	if o.HidePID < what {
		return false
	}
	return o.HidePID >= HideUntraced || who.GID != o.GID && !slices.Contains(who.Groups, o.GID)
}

// Refuse is what who is told, without ptrace access to a process, about that process; of
// its directory where existence is asked for and nothing else. See has_pid_permissions in
// fs/proc/base.c.
func (o Options) Refuse(who *vfs.Identity, existence bool) error {
	switch {
	case !o.Hide(who, HideContent), o.HidePID == HideContent && existence:
		return nil
	case o.HidePID == HideContent:
		return syscall.EPERM
	}
	return syscall.ENOENT
}
