package privs

import "golang.org/x/sys/unix"

// A Want is a capability that a program keeps if it has it.
type Want struct {
	Number int
	// Cost says what does not work without it, as the end of a sentence that
	// begins "without CAP_X ".
	Cost string
	// Optional says that the program is of full use without it to all but the
	// superuser, and to them for nearly everything.
	Optional bool
}

// Leaf is what it takes to give all of a /proc to everyone as the kernel would:
// to the superuser whatever root reads natively, and to anyone else what they
// read themselves, for which a thread takes their ids. It is the smallest such
// list, which the package's tests prove on the kernel that they run on.
//
// What is not on it, though /proc asks for it: CAP_CHECKPOINT_RESTORE follows
// the links of map_files, whose text is read without; CAP_NET_ADMIN opens the
// root's files of sys/net to others, CAP_SYS_RESOURCE those of sys/user, and
// root needs neither.
func Leaf() []Want {
	return []Want{
		{Number: unix.CAP_SYS_PTRACE, Cost: "the environ, maps, fd, exe and io of most processes are refused, and fields of stat are 0"},
		{Number: unix.CAP_DAC_READ_SEARCH, Cost: "the environ and fd of other users' processes are refused, as are the node's files for root alone"},
		{Number: unix.CAP_SETUID, Cost: "nobody but root is answered"},
		{Number: unix.CAP_SETGID, Cost: "nobody but root is answered"},
		{Number: unix.CAP_SYS_ADMIN, Optional: true, Cost: "<pid>/stack, mtrr and sys/net/core/bpf_jit_* are refused, and addresses in iomem and ioports are 0"},
		{Number: unix.CAP_SYSLOG, Optional: true, Cost: "addresses in kallsyms, modules and their like are 0"},
		{Number: unix.CAP_SYS_NICE, Optional: true, Cost: "<pid>/timerslack_ns is refused"},
	}
}

// setOf are the capabilities of a list.
func setOf(wants []Want) (s Set) {
	for _, w := range wants {
		s |= 1 << w.Number
	}
	return s
}
