//go:build !amd64

package caller

// sysReadlink is no system call here.
const sysReadlink = -1

// readlinks32 are readlink(2) and readlinkat(2) of 32-bit ARM.
var readlinks32 = []int{85, 332}
