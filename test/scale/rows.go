package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/aggrfs/aggrfs/test/figures"
	"github.com/aggrfs/aggrfs/test/requester"
)

const (
	rowsRounds = 5
	// rowsTop is how many rows are asked for in ps-rows-top.
	rowsTop = 20
	// rowsLimit is how long aggrfs ps has.
	rowsLimit = 2 * time.Minute
	// defaultKeep is longer than the default policy keeps what ps shows.
	defaultKeep = 1500 * time.Millisecond
	// nodeColumn is where "aggrfs ps aux" has the node.
	nodeColumn = 3
)

// rowsFigures prints what "aggrfs ps" takes through a server, to a pipe, against a warm sweep of
// the same nodes: ps-rows for all rows, ps-rows-top for the largest, and ps-rows-user for a user
// at the same time as root, a process.
func rowsFigures(ctx context.Context, of size) (err error) {
	warm, err := sweepOnce(ctx, of, warmRounds)
	if err != nil {
		return err
	}
	v, err := serve(ctx, of.nodes, of.procs)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, v.close()) }()
	// again waits until all that the server holds is out of date.
	again := func() error {
		if err := v.do("churn %g", sweepChurn); err != nil {
			return err
		}
		return pause(ctx, 2*warm.cold+defaultKeep)
	}
	root, user := v.programs.Root(), v.programs.User()
	var short shortfalls
	for _, f := range []struct {
		name string
		args []string
		want int // rows; 0 is all of other nodes than the head
	}{{"ps-rows", []string{"aux"}, 0}, {"ps-rows-top", []string{"aux", "--sort", "-rss", "--limit", fmt.Sprint(rowsTop)}, rowsTop}} {
		var best time.Duration
		for range rowsRounds {
			if err := again(); err != nil {
				return err
			}
			out, took, err := v.piped(ctx, root, f.args...)
			if err != nil {
				return err
			}
			here, others := rowsOf(out, v.names)
			if f.want == 0 && others != of.all() || f.want > 0 && here+others != f.want {
				short.add(fmt.Errorf("%s: %d rows of the head, %d of %d processes of other nodes", f.name, here, others, of.all()))
			}
			best = least(best, took)
		}
		figures.Print(f.name, best, warm.warm)
	}
	var ours, theirs []time.Duration
	for range rowsRounds {
		if err := again(); err != nil {
			return err
		}
		a, b, err := v.rowsTogether(ctx, of, root, user)
		if err != nil {
			return errors.Join(append(short.errs, err)...)
		}
		ours, theirs = append(ours, a), append(theirs, b)
	}
	figures.Print("ps-rows-user", figures.Median(ours), figures.Median(theirs))
	return short.err()
}

// rowsTogether runs "aggrfs ps" as a user and as root at the same time, and returns what either
// takes, a process.
func (v *served) rowsTogether(ctx context.Context, of size, root, user requester.Requester) (users, roots time.Duration, err error) {
	var errs [2]error
	one := func(i int, who requester.Requester, nodes []string, share *time.Duration) {
		out, took, err := v.piped(ctx, who, "aux")
		_, some := rowsOf(out, nodes)
		_, any := rowsOf(out, v.names)
		if want := len(nodes) * of.procs; err == nil && (some != want || any != want) {
			err = fmt.Errorf("%s sees %d of %d processes, and %d that are not theirs", who.Name, some, want, any-some)
		}
		*share, errs[i] = each(took, len(nodes)*of.procs), err
	}
	var both sync.WaitGroup
	both.Go(func() { one(0, user, v.names[:v.quarter()], &users) })
	both.Go(func() { one(1, root, v.names, &roots) })
	both.Wait()
	return users, roots, errors.Join(errs[:]...)
}

// piped runs "aggrfs ps" as who, and reads what it prints through a pipe.
func (v *served) piped(ctx context.Context, who requester.Requester, args ...string) (out []byte, took time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, rowsLimit)
	defer cancel()
	args = append([]string{"ps", "--server", v.address}, args...)
	var text bytes.Buffer
	var complaint strings.Builder
	cmd := who.Aggrfs(ctx, args...)
	cmd.Stdout, cmd.Stderr = &text, &complaint
	defer requester.Finish(cmd)
	start := time.Now()
	err = cmd.Run()
	took = time.Since(start)
	return text.Bytes(), took, ended(ctx, err, rowsLimit, args, &complaint)
}

// rowsOf counts rows of "aggrfs ps aux": those of these nodes, and all others.
func rowsOf(out []byte, nodes []string) (others, theirs int) {
	names := make(map[string]bool, len(nodes))
	for _, name := range nodes {
		names[name] = true
	}
	for line := range bytes.Lines(out) {
		fields := bytes.Fields(line[:min(len(line), 200)])
		switch {
		case len(fields) <= nodeColumn || string(fields[nodeColumn]) == "NODE":
		case names[string(fields[nodeColumn])]:
			theirs++
		default:
			others++
		}
	}
	return others, theirs
}

// pause waits, or until the context ends.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
