package acts

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"syscall"

	"github.com/aggrfs/aggrfs/internal/control"
	"github.com/aggrfs/aggrfs/internal/procfile"
	"golang.org/x/sys/unix"
)

// groupPasses is how often a process group is gone through: one that is killed may have had a new
// process while it was.
const groupPasses = 4

// group acts on the processes of a group, one after the other, and answers as the kernel does: a
// signal is sent if one of them could be sent it, a priority is set if all could.
func (b batch) group(pgid int32, a control.Action) (string, error) {
	g := group{}
	met := make(map[uint64]bool)
	passes := 1
	if a.Verb == "signal" && a.Args[0] == "KILL" {
		passes = groupPasses
	}
	for range passes {
		members, err := b.members(pgid)
		if err != nil {
			return "", err
		}
		before := len(met)
		for _, m := range members {
			if met[m.id] {
				continue
			}
			met[m.id] = true
			g.take(b.process(m.pid, m.id, 0, a))
			if b.ctx.Err() != nil {
				return "", fmt.Errorf("done in part: %w", b.ctx.Err())
			}
		}
		if len(met) == before {
			break
		}
	}
	return g.result(a)
}

// A group is what came of an action on the members of one.
type group struct {
	done   int
	values []string
	err    error // the last
}

func (g *group) take(value string, err error) {
	switch {
	case err == nil:
		g.done++
		g.values = append(g.values, value)
	case !errors.Is(err, syscall.ESRCH): // one that has ended is no member
		g.err = err
	}
}

// result is that of kill(2), setpriority(2) or ioprio_set(2) of a group.
func (g *group) result(a control.Action) (string, error) {
	signals := a.Verb == "signal" || a.Verb == "probe"
	switch {
	case g.done == 0 && g.err == nil:
		return "", fmt.Errorf("no process is in that group: %w", syscall.ESRCH)
	case g.done == 0 || g.err != nil && !signals:
		return "", g.err
	case a.Verb == "get-nice": // the highest priority
		return slices.MinFunc(g.values, func(x, y string) int {
			n, _ := strconv.Atoi(x)
			m, _ := strconv.Atoi(y)
			return n - m
		}), nil
	case a.Verb == "get-ioprio":
		return slices.MinFunc(g.values, func(x, y string) int {
			n, _ := control.ParseIoprio(x)
			m, _ := control.ParseIoprio(y)
			return n - m
		}), nil
	}
	return "", nil
}

// A member is a process of a group.
type member struct {
	pid int32
	id  uint64
}

// members are the processes of a group that the batch may reach.
func (b batch) members(pgid int32) ([]member, error) {
	pids, err := b.Node.PIDs(b.ctx)
	if err != nil {
		return nil, err
	}
	var all []member
	for _, pid := range pids {
		fd, id, err := b.open(pid, func(dir int, _ uint64) error { return b.isMember(dir, pgid) })
		switch {
		case err == nil:
			unix.Close(fd)
			all = append(all, member{pid, id})
		case !errors.Is(err, syscall.ESRCH):
			return nil, err
		}
	}
	return all, nil
}

// isMember is ESRCH if the process whose directory is open is not in the group, or not shown.
func (b batch) isMember(dir int, pgid int32) error {
	stat, err := readSmall(dir, "stat")
	if err != nil {
		return err
	}
	if procfile.Group(stat) != int64(pgid) {
		return syscall.ESRCH
	}
	if b.limit.Shown != nil {
		var st unix.Stat_t
		if err := unix.Fstat(dir, &st); err != nil {
			return err
		}
		if !slices.Contains(b.limit.Shown, st.Uid) {
			return syscall.ESRCH
		}
	}
	return nil
}
