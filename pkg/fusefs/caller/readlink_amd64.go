package caller

import "golang.org/x/sys/unix"

// sysReadlink is readlink(2), which newer architectures have as readlinkat(2) alone.
const sysReadlink = unix.SYS_READLINK
