// Package control is the language in which processes are acted on: signals, priorities,
// processors and limits, as requests and answers in lines of text, from a client to the front
// end and from there to a leaf; and the audit of what was done.
//
// # Actions
//
//	signal NAME|N          kill(2): TERM, SIGTERM, 15, RTMIN+3; a number that no signal has goes to the kernel as it is
//	sigqueue NAME|N VALUE  sigqueue(3), VALUE a number of 32 bits
//	nice N                 setpriority(2), from -20 to 19; a number beyond is the nearest of these, as there
//	affinity LIST          sched_setaffinity(2): 0-3,7
//	ioprio CLASS[:LEVEL]   ioprio_set(2): none, rt, be, idle, or a number; level 0 to 7, 4 by default
//	sched POLICY PRIO      sched_setscheduler(2): other, fifo, rr, batch, idle, or a number
//	rlimit NAME SOFT:HARD  prlimit(2): nofile, or a number; "unlimited" is none
//
// These read, and change nothing:
//
//	probe                  kill(2) with signal 0
//	get-nice               N
//	get-affinity           LIST
//	get-ioprio             CLASS:LEVEL
//	get-sched              POLICY PRIO
//	get-rlimit NAME        SOFT:HARD
//	getpgid, getsid        a process's number
//
// What get-X answers is what X takes. Words of Plan 9's proc(3) stand for some of them:
// kill, stop, start, hangup and interrupt for signals, "pri N" for nice 10 - N (there 10 is a
// program's usual priority, and a higher one is served first), and "wired N" for affinity N.
//
// # Client to front end
//
// A request is a line "ID TARGET VERB [ARG...]", an answer a line "ID ok [VALUE]" or
// "ID error NAME text", NAME as in errno(3). ID is the client's number, which comes back. There is
// an answer to each request, in any order. TARGET is, in the numbers of the tree that is asked,
//
//	GPID             a process
//	NODE:PID         the same by its node and its pid there
//	-GPID, NODE:-PID a process group
//	GPID/TID         a thread of a process
//
// With "#START" behind a process, its start time as field 22 of stat has it in that tree, a
// process that began at another time is ESRCH.
//
// # Front end to leaf
//
// The attach name Tree of a leaf is a directory with one rpc file, of the same name: a batch is
// written, and the answers read. A batch is of one requester, as whom the front end has attached.
// Its first line is
//
//	aggrfs-control 1 [own] [shown=UID,...]
//
// 1 is the version; a leaf refuses another one with EPROTONOSUPPORT. own: only processes that the
// requester runs (any of the real, effective and saved user id is theirs). shown: of process
// groups only processes whose directories belong to these users, which are all that the requester
// is shown. The lines behind it are requests, with targets in the node's numbers:
//
//	PID@DIR          a process, and the number that the leaf has given its directory (Tqid.path)
//	PID@DIR/TID      a thread of it
//	-PGID            a process group
//
// A process that has another number by now is ESRCH. The answers follow a line
// "aggrfs-control 1".
//
// # Limits
//
// MaxBatch, MaxLine and MaxRequests; what is more is refused whole, before anything is done.
package control
