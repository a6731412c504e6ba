package nsexec

import "golang.org/x/sys/unix"

// lineUp lists the descriptors that a child gets so that ours, three of them
// for the stage, come behind 0, 1 and 2 at the first place where they cover
// none that this process was started with: those the shell opened are the
// command's. It returns the list, as in syscall.ProcAttr, and the number of
// the first of ours in the child.
//
// What this program opens is close-on-exec; what it was started with is not.
func lineUp(stdio [3]uintptr, ours ...int) (files []uintptr, first int) {
	first = 3
	for i := first; i < first+len(ours); i++ {
		if inherited(i) {
			first = i + 1
		}
	}
	files = append(files, stdio[:]...)
	for i := 3; i < first; i++ {
		if inherited(i) {
			files = append(files, uintptr(i))
		} else {
			files = append(files, ^uintptr(0)) // closed
		}
	}
	for _, fd := range ours {
		files = append(files, uintptr(fd))
	}
	return files, first
}

func inherited(fd int) bool {
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	return err == nil && flags&unix.FD_CLOEXEC == 0
}
