// Package privs has a daemon give up at its start what it does not need.
//
// # Model
//
// The kernel keeps rights per thread (credentials(7), capabilities(7)). Keep
// takes a list of capabilities and leaves every thread of the program those of
// the list that the program was started with, permitted and effective, and no
// other. What could bring others back goes too: the inheritable and the ambient
// set are emptied, the bounding set is cut to the same list where CAP_SETPCAP
// allows, and no_new_privs is set, after which no execve(2) gives more than was
// there before it.
//
// Threads that the program starts later have the rights of the thread that
// starts them. The ids are not changed: a program that runs as root goes on as
// root, and the files that root owns stay its own.
//
// # Failure
//
// Keep looks at every thread in /proc/self/task when all is done. Anything but
// exactly what was meant is an error, and the program must end then: some of
// its threads may have more than others. A program started with less than the
// list goes on with what it has; the log says what that costs.
//
// # What it takes
//
// All threads are changed by libcap's psx: in a program without cgo that is
// syscall.AllThreadsSyscall, in one with cgo, which has threads of which Go does not
// know, a signal to each thread in /proc. So programs give up rights however they are
// built, with the race detector too. A call that does not come out the same on all
// threads ends the program.
package privs
