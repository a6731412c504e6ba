// Package actor has processes that act on others, each as one user, so that the kernel decides
// what that user may do.
//
// # Why processes
//
// kill(2) asks for the sender's real user id as well as the effective one, and a thread that only
// lends its effective ids (package lend) keeps the program's real one. So who acts is a process
// that has become the user for good: all ids and groups are theirs, it has no capability and can
// get none, it has no descriptor but its socket, and nobody may trace it. The one for the superuser
// keeps the program's user, and what capabilities package privs lists for it.
//
// # How they are started
//
// The program is started twice. [Start] begins a template, the same program with another name
// (argv[0]), before anything is read from a network and before rights are given up: the template
// keeps what it takes to become users. It knows one socket, on which its program asks for an actor,
// and starts a process for each, which becomes the user before it reads its first request. It
// ends when its socket does. [MaybeRun] is called first in main; in the two kinds of processes it
// does not return.
//
// # What is asked of an actor
//
// A message is an action on one process, with the process's directory in procfs as a descriptor,
// which the kernel binds to that process: signals are sent through it (pidfd_send_signal(2)), and
// reach that process or nobody. For priorities, processors and limits the kernel has no such call.
// They are made by number, and the descriptor is asked before and after whether its process still
// is: while it is, nothing else has its number. If it has ended meanwhile what was changed is put
// back, and the answer is ESRCH.
//
// A message has a deadline, after which the actor does nothing about it: one that its user has
// stopped does not act when it is continued.
//
// # What a user can do to theirs
//
// Stop it or kill it, as it is their process: their own request fails at its deadline, or at once,
// and the next one gets another actor; so many as do not end, until there are MaxPerUser. What an
// actor answers is believed about the request of its user, and about nothing else.
package actor
