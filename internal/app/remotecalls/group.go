package remotecalls

import (
	"context"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/aggrfs/aggrfs/internal/seccomp"
	"github.com/aggrfs/aggrfs/pkg/aggregate/report"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

const (
	// groupTime is for how long a table of process groups is used: as long as what a listing of
	// processes is made of by the built-in policy. That a group has no members is asked anew.
	groupTime = time.Second
	// groupTables bounds the tables that are kept, of an identity and a node each.
	groupTables = 64
	// groupReads is how many processes are read at once for such a table.
	groupReads = 16
)

// A groupCache has the process groups as they were a moment ago.
type groupCache struct {
	mu  sync.Mutex
	all map[groupKey]*groupTable
}

type groupKey struct{ who, node string }

// A groupTable is the members of each group, on one node or on all.
type groupTable struct {
	mu      sync.Mutex // held while it is made
	at      time.Time
	members map[int64][]*process
}

// membersOf are the processes of a group that the caller is shown; without any it is ESRCH.
func membersOf(ctx context.Context, c *callOf, group int32) ([]*process, unix.Errno) {
	root, errno := c.root(ctx)
	if errno != 0 {
		return nil, errno
	}
	// All members are on one node, that of the group's number. One whose first process has ended
	// has no row there, and is looked for on all.
	key := groupKey{who: c.who.reads().Key()}
	text, err := vfs.ReadFile(ctx, root, maxFile, "cluster", "where", decimal(group))
	if rows, parseErr := report.ParseWhere(text); err == nil && parseErr == nil && len(rows) == 1 {
		key.node = rows[0].Node
	} else if errno := absent(err); errno != unix.ESRCH {
		return nil, errno
	}
	table := c.s.groups.table(key)
	table.mu.Lock()
	defer table.mu.Unlock()
	if time.Since(table.at) > groupTime {
		var at []string
		if key.node != "" {
			at = []string{"sets", key.node}
		}
		members, err := groupsAt(ctx, root, at)
		if err != nil {
			return nil, absent(err)
		}
		table.members, table.at = members, time.Now()
	}
	members := table.members[int64(group)]
	if len(members) == 0 {
		return nil, unix.ESRCH
	}
	return members, 0
}

func (g *groupCache) table(key groupKey) *groupTable {
	g.mu.Lock()
	defer g.mu.Unlock()
	t := g.all[key]
	if t == nil {
		if g.all == nil || len(g.all) >= groupTables {
			g.all = make(map[groupKey]*groupTable)
		}
		t = new(groupTable)
		g.all[key] = t
	}
	return t
}

// groupsAt reads the groups of all processes of other machines below a directory.
func groupsAt(ctx context.Context, root vfs.Dir, at []string) (map[int64][]*process, error) {
	n, _, err := vfs.WalkPath(ctx, root, at...)
	if err != nil {
		return nil, err
	}
	dir, ok := n.(vfs.Dir)
	if !ok {
		return nil, unix.ENOTDIR
	}
	h, err := dir.List(ctx)
	if err != nil {
		return nil, err
	}
	defer h.Close()
	var mu sync.Mutex
	all := make(map[int64][]*process)
	reads, ctx := errgroup.WithContext(ctx)
	reads.SetLimit(groupReads)
	var entries []vfs.DirEntry
	for offset := uint64(0); ; offset = entries[len(entries)-1].Next {
		if entries, err = h.ReadDir(ctx, offset, entries[:0], 1024); err != nil || len(entries) == 0 {
			break
		}
		for _, e := range entries {
			pid, notPID := strconv.ParseInt(e.Name, 10, 32)
			if notPID != nil || pid <= seccomp.MaxPID {
				continue
			}
			reads.Go(func() error {
				p := &process{root: dir, name: e.Name, id: e.ID}
				stat, errno := p.read(ctx, "stat")
				switch errno {
				case 0:
				case unix.ESRCH, unix.EPERM:
					return nil
				default:
					return errno
				}
				p.stat = stat
				if group, errno := p.field(fieldGroup); errno == 0 {
					mu.Lock()
					all[group] = append(all[group], p)
					mu.Unlock()
				}
				return nil
			})
		}
	}
	if waited := reads.Wait(); err == nil {
		err = waited
	}
	return all, err
}
