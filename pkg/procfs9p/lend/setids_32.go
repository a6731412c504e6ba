//go:build 386 || arm

package lend

import "golang.org/x/sys/unix"

// The calls that take ids of 32 bits: on these architectures the plain ones
// take 16.
const (
	sysSetresuid = unix.SYS_SETRESUID32
	sysSetresgid = unix.SYS_SETRESGID32
	sysSetgroups = unix.SYS_SETGROUPS32
)
