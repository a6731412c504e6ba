package seccomp

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// Where the parts of struct seccomp_data are that a filter sees, in bytes (linux/seccomp.h). The
// processors that are known here have the lower half of an argument first.
const (
	offsetNr   = 0
	offsetArch = 4
	offsetArgs = 16
)

// audit is what each processor's own system calls are marked with (AUDIT_ARCH_*). Those of its
// other ABIs are marked otherwise, or have other numbers (x32): they pass.
var audit = map[string]uint32{"amd64": unix.AUDIT_ARCH_X86_64, "arm64": unix.AUDIT_ARCH_AARCH64}

// least is the least signed number, and lowest the smallest that is passed, of 32 bits each.
const (
	least  = 1 << 31
	lowest = 1<<32 - MaxPID
)

// filter is the program for this processor; nil where it is not known.
func filter() []unix.SockFilter {
	arch, known := audit[runtime.GOARCH]
	if !known {
		return nil
	}
	pass, send := ret(unix.SECCOMP_RET_ALLOW), ret(unix.SECCOMP_RET_USER_NOTIF)
	program := []unix.SockFilter{load(offsetArch), jump(unix.BPF_JEQ, arch, 1, 0), pass, load(offsetNr)}
	for _, c := range calls {
		var block []unix.SockFilter
		if c.always {
			block = []unix.SockFilter{send}
		} else {
			if c.which >= 0 {
				block = append(block, load(argument(c.which)),
					jump(unix.BPF_JGE, c.least, 1, 0), pass,
					jump(unix.BPF_JGT, c.most, 0, 1), pass)
			}
			block = append(block, load(argument(c.pid)),
				jump(unix.BPF_JGT, MaxPID, 1, 0), pass,
				jump(unix.BPF_JGE, lowest, 0, 1), pass,
				jump(unix.BPF_JEQ, least, 0, 1), pass,
				send)
		}
		program = append(program, jump(unix.BPF_JEQ, uint32(c.nr), 0, uint8(len(block))))
		program = append(program, block...)
	}
	return append(program, pass)
}

func argument(n int) uint32 { return offsetArgs + 8*uint32(n) }

func load(offset uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset}
}

func jump(op uint16, k uint32, yes, no uint8) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_K | op, Jt: yes, Jf: no, K: k}
}

func ret(action uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: action}
}
