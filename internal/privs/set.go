package privs

import (
	"fmt"
	"strings"
)

// A Set is a set of capabilities: bit n is the capability of number n, as in
// <linux/capability.h> and in the Cap lines of /proc/<pid>/status.
type Set uint64

// Has tells whether the capability of that number is in the set.
func (s Set) Has(number int) bool { return s>>number&1 == 1 }

// names are the capabilities' names without "CAP_", by number; see
// capabilities(7).
var names = strings.Fields(`CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP
	LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO
	SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD
	LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ
	PERFMON BPF CHECKPOINT_RESTORE`)

// name is that of one capability.
func name(number int) string {
	if number < len(names) {
		return "CAP_" + names[number]
	}
	return fmt.Sprintf("capability %d", number) // of a kernel newer than this
}

// String lists the names, as they stand in a unit file.
func (s Set) String() string {
	var all []string
	for n := range 64 {
		if s.Has(n) {
			all = append(all, name(n))
		}
	}
	if all == nil {
		return "no capability"
	}
	return strings.Join(all, " ")
}
