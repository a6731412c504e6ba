//go:build !amd64

package caller

// sysReadlink is no system call here.
const sysReadlink = -1
