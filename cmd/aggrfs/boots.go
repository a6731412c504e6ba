package main

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aggrfs/aggrfs/internal/nsexec"
	"github.com/aggrfs/aggrfs/pkg/aggregate"
)

// Boots that are believed: clocks that were never set, or wrongly, say others.
var firstBoot = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// sameBoot is how much earlier than this machine another may have booted
// without being older: the table has whole seconds.
const sameBoot = 2 * time.Second

// aheadOf returns the tree for a command that has a machine which booted as early
// as the oldest node, and how far its clock is ahead of this process': 0, and
// the same tree, where this machine is the oldest.
//
// A start time is a number of ticks since the reader's boot, and cannot be
// negative: see time_namespaces(7).
func (a *app) aheadOf(ctx context.Context, src *source, t *tree, native string) (*tree, time.Duration, error) {
	var offset time.Duration
	if table, err := readTable(ctx, t, "cluster", "nodes"); err == nil {
		offset = older(table, time.Now(), sinceBoot())
	}
	if offset > 0 && !nsexec.CanShift() {
		offset = 0
	}
	// The daemon counts from the machine's boot, this process from its own.
	c, own := t.Tree.(*aggregate.Cluster)
	src.ahead = offset
	if !own {
		src.ahead += nsexec.BootOffset()
	}
	if src.ahead == 0 {
		return t, 0, nil
	}
	path, err := src.path()
	if err != nil {
		return t, 0, err
	}
	if own {
		return &tree{Tree: c, Closer: t.Closer, who: t.who, aname: path, generation: t.generation}, offset, nil
	}
	again, err := src.open(ctx, a, native)
	if err != nil {
		a.log.Warn("start times before this machine's boot are wrong", "err", err)
		src.ahead = 0
		return t, 0, nil
	}
	t.Close()
	return again, offset, nil
}

// older tells how much earlier than this machine the oldest node of the table
// has booted, in seconds rounded up. now and up are this machine's.
func older(table []byte, now time.Time, up time.Duration) time.Duration {
	boot := now.Add(-up)
	oldest := boot.Add(-sameBoot)
	column := -1
	for line := range bytes.Lines(table) {
		f := strings.Fields(string(line))
		if column < 0 { // the header
			if column = slices.Index(f, "BOOTED"); column < 0 {
				return 0
			}
			continue
		}
		if len(f) <= column {
			continue
		}
		at, err := time.Parse(time.RFC3339, f[column])
		if err == nil && at.Before(oldest) && !at.Before(firstBoot) {
			oldest = at
		}
	}
	d := boot.Sub(oldest)
	if d <= sameBoot || d > nsexec.MaxBootOffset {
		return 0
	}
	return (d + time.Second - 1).Truncate(time.Second)
}

// sinceBoot is CLOCK_BOOTTIME.
func sinceBoot() time.Duration {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts) != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}
