package nsexec

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aggrfs/aggrfs/internal/nsexec/mountns"
)

// helperName is the program that stands in for the stage and the watcher where
// it is installed, see cmd/aggrfs-ns.
const helperName = "aggrfs-ns"

// helper is the path of the helper, or "" where this process has none or needs
// none.
func helper() string {
	if os.Geteuid() == 0 || noNewPrivs() {
		return ""
	}
	dirs := []string{"/usr/libexec/aggrfs", "/usr/local/libexec/aggrfs"}
	if self, err := os.Executable(); err == nil {
		dirs = append([]string{filepath.Dir(self)}, dirs...)
	}
	for _, dir := range dirs {
		if path := filepath.Join(dir, helperName); canMount(path) {
			return path
		}
	}
	return ""
}

// noNewPrivs tells whether a program's capabilities count for nothing here, as
// below a Run.
func noNewPrivs() bool {
	set, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)
	return err == nil && set != 0
}

// canMount tells whether a program gets CAP_SYS_ADMIN when it is executed: by
// its capability, as in struct vfs_cap_data of linux/capability.h.
func canMount(path string) bool {
	const (
		revisions = 0xff000000
		second    = 0x02000000
		effective = 1
	)
	var data [64]byte
	n, err := unix.Getxattr(path, "security.capability", data[:])
	if err != nil || n < 8 || unix.Access(path, unix.X_OK) != nil {
		return false
	}
	magic := binary.LittleEndian.Uint32(data[:])
	permitted := binary.LittleEndian.Uint32(data[4:])
	var fs unix.Statfs_t
	return magic&revisions >= second && magic&effective != 0 && permitted&(1<<unix.CAP_SYS_ADMIN) != 0 &&
		unix.Statfs(path, &fs) == nil && fs.Flags&unix.ST_NOSUID == 0
}

// startHelper starts the helper, which passes the command's environment on and is
// steered by nothing in it. It says lines, and is told a byte: that the
// tree is served.
//
//	helper → server  mounted, or failed and why
//	server → helper  a byte
//	helper → server  started and the command's pid, or failed and why
//	server → helper  closes: the helper takes the tree away and ends
func (s *session) startHelper(program string) error {
	var theirs int
	var err error
	if s.watcher, theirs, err = socketPair("helper"); err != nil {
		return err
	}
	defer unix.Close(theirs)
	s.helper = bufio.NewReader(io.LimitReader(s.watcher.file, 1<<16))
	err = withFD(s.spec.Device, func(fuse int) error {
		files, first := lineUp([3]uintptr{s.spec.Stdin.Fd(), s.spec.Stdout.Fd(), s.spec.Stderr.Fd()}, theirs, fuse)
		argv := append([]string{helperName, "run", strconv.Itoa(first), strconv.Itoa(first + 1)}, s.spec.Argv...)
		pid, err := forkExec(s.spec.CPUs, program, argv, &syscall.ProcAttr{
			Dir: s.spec.Dir, Env: mountns.Hide(s.spec.Env), Files: files, Sys: &syscall.SysProcAttr{},
		})
		if err == nil {
			s.watcherPID = pid
		}
		return err
	})
	if err != nil {
		s.end()
		return fmt.Errorf("start %s for %q in directory %q: %w", program, s.spec.Argv[0], s.spec.Dir, err)
	}
	s.deadline(time.Now().Add(setupDeadline))
	return nil
}

// setUpHelper is setUp with the helper.
func (s *session) setUpHelper() error {
	if _, err := s.helperSays("mounted"); err != nil {
		return err
	}
	if err := s.spec.Serve(); err != nil {
		return err
	}
	s.told = true
	s.watcher.file.Write([]byte{0}) // an error shows when the answer is read
	return s.started()
}

// started finds the command that the helper has started.
func (s *session) started() error {
	text, err := s.helperSays("started")
	if err != nil {
		return err
	}
	pid, err := strconv.Atoi(text)
	if err != nil || pid < 1 {
		return fmt.Errorf("the helper has started process %q", text)
	}
	s.process, err = os.FindProcess(pid)
	return err
}

// helperSays reads a line that begins with the word, and returns the rest.
func (s *session) helperSays(word string) (rest string, err error) {
	line, err := s.helper.ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("%s has ended or hangs: %w", helperName, err)
	}
	first, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
	switch first {
	case word:
		return rest, nil
	case "failed":
		return "", errors.New(helperName + ": " + rest)
	}
	return "", fmt.Errorf("%s says %q", helperName, line)
}
