package seccomp

import "golang.org/x/sys/unix"

// MaxPID is the largest pid that any Linux kernel gives out (PID_MAX_LIMIT).
const MaxPID = 4194304

// A call is one that is sent to the listener, if it names a process that is not this kernel's.
type call struct {
	nr int
	// pid is which argument names the process; its lower 32 bits, as a signed number, are what the
	// kernel takes. The call is sent if that is above MaxPID or below -MaxPID, and is not the least
	// number of all: that and -1 mean something else to kill(2).
	pid int
	// always sends the call whatever its arguments are.
	always bool
	// which is the argument that says what pid names, -1 where there is none; the call is sent if it
	// lies between least and most.
	which       int
	least, most uint32
}

// What getpriority(2) and ioprio_get(2) call a process and a process group. The other thing that
// they know is a user: directory services have users above MaxPID.
const (
	PrioProcess   = 0 // PRIO_PROCESS
	PrioGroup     = 1 // PRIO_PGRP
	IoprioProcess = 1 // IOPRIO_WHO_PROCESS
	IoprioGroup   = 2 // IOPRIO_WHO_PGRP
)

// calls are those that are sent to the listener. The first is the first to be compared.
var calls = []call{
	named(unix.SYS_KILL), named(unix.SYS_TKILL), named(unix.SYS_TGKILL),
	named(unix.SYS_RT_SIGQUEUEINFO), named(unix.SYS_RT_TGSIGQUEUEINFO),
	{nr: unix.SYS_PIDFD_SEND_SIGNAL, always: true}, named(unix.SYS_PIDFD_OPEN),
	named(unix.SYS_GETPGID), named(unix.SYS_GETSID),
	{nr: unix.SYS_GETPRIORITY, pid: 1, which: 0, least: PrioProcess, most: PrioGroup},
	{nr: unix.SYS_SETPRIORITY, pid: 1, which: 0, least: PrioProcess, most: PrioGroup},
	{nr: unix.SYS_IOPRIO_GET, pid: 1, which: 0, least: IoprioProcess, most: IoprioGroup},
	{nr: unix.SYS_IOPRIO_SET, pid: 1, which: 0, least: IoprioProcess, most: IoprioGroup},
	named(unix.SYS_SCHED_GETAFFINITY), named(unix.SYS_SCHED_SETAFFINITY),
	named(unix.SYS_SCHED_GETSCHEDULER), named(unix.SYS_SCHED_SETSCHEDULER),
	named(unix.SYS_SCHED_GETPARAM), named(unix.SYS_SCHED_SETPARAM),
	named(unix.SYS_SCHED_GETATTR), named(unix.SYS_SCHED_SETATTR),
	named(unix.SYS_SCHED_RR_GET_INTERVAL), named(unix.SYS_PRLIMIT64),
}

// named is a call whose first argument is the process.
func named(nr int) call { return call{nr: nr, which: -1} }
