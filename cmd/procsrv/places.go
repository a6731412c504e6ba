package main

import (
	"golang.org/x/sys/unix"

	"github.com/aggrfs/aggrfs/pkg/procfs9p"
)

// ownDescriptors are for the leaf's files and what it reads just now.
const ownDescriptors = 256

// forConnections is how many descriptors are left for those who ask; 0 is not known.
func forConnections() int {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0
	}
	left := int64(min(limit.Cur, 1<<30)) - int64(procfs9p.Descriptors(limit.Cur)) - int64(min(limit.Cur/4, ownDescriptors))
	return int(max(left, 1))
}
