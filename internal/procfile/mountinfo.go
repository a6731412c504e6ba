package procfile

import (
	"iter"
	"slices"
	"strings"
)

// A Mount is a line of proc_pid_mountinfo(5).
type Mount struct {
	ID      string // the kernel gives it to another mount once this one has gone
	Device  string // MAJOR:MINOR of the file system
	Dir     string // where it is mounted, as the process whose file it is sees it
	FSType  string
	Options string // those of the file system
}

// mountEscapes are the characters that mountinfo writes in octal (fs/proc_namespace.c).
var mountEscapes = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`, `\043`, "#")

// Mounts are those of a mountinfo file. A line that has not its kernel form is passed over.
func Mounts(mountinfo []byte) iter.Seq[Mount] {
	return func(yield func(Mount) bool) {
		for line := range strings.Lines(string(mountinfo)) {
			// 36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw; the source may be
			// empty.
			f := strings.Fields(line)
			dash := slices.Index(f, "-")
			if dash < 6 || len(f) < dash+3 {
				continue
			}
			if !yield(Mount{ID: f[0], Device: f[2], Dir: mountEscapes.Replace(f[4]), FSType: f[dash+1], Options: f[len(f)-1]}) {
				return
			}
		}
	}
}
