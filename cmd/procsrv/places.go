package main

import (
	"os/user"
	"strconv"

	"github.com/aggrfs/aggrfs/pkg/procfs9p"
	"golang.org/x/sys/unix"
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

// localUID is the number of a user of this machine, by name or number.
func localUID(name string) (uint32, bool) {
	n, err := strconv.ParseUint(name, 10, 32)
	if err != nil {
		var u *user.User
		if u, err = user.Lookup(name); err == nil {
			n, err = strconv.ParseUint(u.Uid, 10, 32)
		}
	}
	return uint32(n), err == nil
}

// isLocal reports whether this machine's user database has a number.
func isLocal(uid uint32) bool {
	_, err := user.LookupId(strconv.FormatUint(uint64(uid), 10))
	return err == nil
}
