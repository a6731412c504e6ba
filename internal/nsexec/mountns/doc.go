// Package mountns is what a process does to a mount namespace of its own, and to
// itself before it becomes a command: what internal/nsexec and the program
// aggrfs-ns have in common. The latter has a capability that its callers lack, so
// this package imports nothing but the standard library and x/sys/unix, and
// takes nothing from the environment but the PATH in which a command is found.
package mountns
