// Package command runs the commands that a configuration names: once, to their
// end, for what they print.
//
// # Model
//
// A command is a program by its absolute path and its arguments; there is no shell.
// [Run] starts it as the user of its [Spec], in a session of its own and in "/", with
// the environment of the Spec alone, nothing to read, and no other descriptor than
// its output. It has no capability, and nothing in it can get one: see
// [privs.DropThread], which asks the kernel whether that is so before the program is
// started.
//
// It takes three processes. This program starts itself (as /proc/self/exe, so that
// no file is looked for) as the supervisor, which starts itself again as the process
// that gives up its rights, becomes the user and then the command. Main must call
// [Stage] first thing for that.
//
// # What is left
//
// Nothing. The supervisor is the reaper of whatever the command starts
// (PR_SET_CHILD_SUBREAPER of prctl(2)), so that what leaves the command's session and
// outlives its parent becomes the supervisor's child and no other's. When the command
// ends, when its time is over, when it has printed too much, or when this process is
// gone, the supervisor kills its children until it has none. It has the command's
// effective user id for that (kill(2)), while its real and saved ones stay its own:
// the command can neither signal nor trace it. Where the command runs as the user of
// this program itself it can; a command that kills its own supervisor, on purpose,
// leaves what it started to init.
//
// # Failure
//
// Run returns only when nothing of the command is there any more. That is soon after
// the deadline, unless a process is in a wait that the kernel does not break off, as
// for a file server that is mounted hard: who must go on all the same calls Run on a
// goroutine that can be left alone, and not again before it has returned. The file of
// the program is touched by the last of the processes only, which can hang without
// holding up this one.
//
// An error is an [*Error], which says what happened with and without what the command
// complained of on its standard error.
package command
