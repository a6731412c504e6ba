//go:build !386 && !arm

package lend

import "golang.org/x/sys/unix"

// The calls that take ids of 32 bits.
const (
	sysSetresuid = unix.SYS_SETRESUID
	sysSetresgid = unix.SYS_SETRESGID
	sysSetgroups = unix.SYS_SETGROUPS
)
