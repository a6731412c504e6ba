package actor

import (
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aggrfs/aggrfs/internal/control"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// A Job is one action on one process or thread.
type Job struct {
	control.Action
	PID, TID int // TID is 0 for the process as a whole
	// Dir is the directory of the process, or of the thread by its number in the root of the
	// procfs, open for reading: the kernel binds it to what it was opened for.
	Dir int
}

// maxMessage bounds a message, in bytes.
const maxMessage = control.MaxLine + 256

// appendJob writes the message of a job: its number, its deadline by CLOCK_MONOTONIC, and what it
// is.
func appendJob(b []byte, id uint64, deadline int64, j Job) []byte {
	return fmt.Appendf(b, "%d %d %d %d %s", id, deadline, j.PID, j.TID, j.Action)
}

// parseJob reads it. The socket's other end is the program itself.
func parseJob(text string) (id uint64, deadline int64, j Job, err error) {
	words := strings.Fields(text)
	if len(words) < 5 {
		return 0, 0, j, fmt.Errorf("%d words are no job", len(words))
	}
	if id, err = strconv.ParseUint(words[0], 10, 64); err != nil {
		return 0, 0, j, err
	}
	if deadline, err = strconv.ParseInt(words[1], 10, 64); err != nil {
		return 0, 0, j, err
	}
	for i, n := range []*int{&j.PID, &j.TID} {
		if *n, err = strconv.Atoi(words[2+i]); err != nil {
			return 0, 0, j, err
		}
	}
	j.Action, err = control.ParseAction(words[4:])
	return id, deadline, j, err
}

// monotonic is CLOCK_MONOTONIC, in nanoseconds.
func monotonic() int64 {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) != nil {
		return 1<<63 - 1 // every deadline has passed
	}
	return ts.Nano()
}

func monotonicAt(t time.Time) int64 { return monotonic() + int64(time.Until(t)) }

// rootWord stands for the superuser's actor.
const rootWord = "root"

// argsOf are the arguments of an actor: its user.
func argsOf(who vfs.Identity) []string {
	if who.IsRoot() {
		return []string{rootWord}
	}
	groups := make([]string, len(who.Groups))
	for i, g := range who.Groups {
		groups[i] = strconv.FormatUint(uint64(g), 10)
	}
	return []string{strconv.FormatUint(uint64(who.UID), 10), strconv.FormatUint(uint64(who.GID), 10), strings.Join(groups, ",")}
}

// ids are what argsOf has written.
func ids(args []string) (uid, gid int, groups []int, err error) {
	if len(args) != 3 {
		return 0, 0, nil, syscall.EINVAL
	}
	var numbers []int
	words := args[:2:2]
	if args[2] != "" {
		words = append(words, strings.Split(args[2], ",")...)
	}
	for _, word := range words {
		n, err := strconv.ParseUint(word, 10, 32)
		if err != nil || uint32(n) == vfs.NoID { // which is "do not change"
			return 0, 0, nil, fmt.Errorf("%q is no id", word)
		}
		numbers = append(numbers, int(n))
	}
	if numbers[0] == 0 {
		return 0, 0, nil, fmt.Errorf("the superuser is not named by number")
	}
	return numbers[0], numbers[1], numbers[2:], nil
}

func splitNUL(text string) []string { return strings.Split(text, "\x00") }

func joinNUL(words ...string) []byte { return []byte(strings.Join(words, "\x00")) }
