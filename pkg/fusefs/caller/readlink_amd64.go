package caller

import "golang.org/x/sys/unix"

// sysReadlink is readlink(2), which newer architectures have as readlinkat(2) alone.
const sysReadlink = unix.SYS_READLINK

// readlinks32 are readlink(2) and readlinkat(2) of i386 and of x32.
var readlinks32 = []int{85, 305, 1<<30 | unix.SYS_READLINK, 1<<30 | unix.SYS_READLINKAT}
