// Package olderkernel has builds for tests do without what older kernels have not, so that what is
// done there in its stead is tried on any. No other build does without anything that its kernel has.
package olderkernel

import (
	"slices"
	"strings"
)

// What there may not be.
const (
	Clone   = "clone"   // FUSE_DEV_IOC_CLONE; in a user namespace, before Linux 6.7
	Resend  = "resend"  // FUSE_NOTIFY_RESEND, before Linux 6.9
	Epoch   = "epoch"   // FUSE_NOTIFY_INC_EPOCH, before Linux 6.16
	Beneath = "beneath" // MOVE_MOUNT_BENEATH, before Linux 6.5
	Clock   = "clock"   // a time namespace in which exec can run a command, before Linux 6.3
)

// lacks are some of these, with commas. The linker sets it, for tests:
// -ldflags "-X github.com/aggrfs/aggrfs/internal/olderkernel.lacks=clone,resend".
var lacks string

// Lacks reports whether the program does without that, whatever its kernel has.
func Lacks(what string) bool { return slices.Contains(strings.Split(lacks, ","), what) }
