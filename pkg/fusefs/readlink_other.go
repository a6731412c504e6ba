//go:build !amd64

package fusefs

// sysReadlink is no system call here.
const sysReadlink = -1
