// Package act acts on processes of the cluster that a user selects (aggrfs kill, aggrfs renice): it
// shows them, asks, and acts on those that it has shown and on no others, which are known by their
// start times, too.
package act

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sync/semaphore"
	"golang.org/x/sys/unix"

	"github.com/aggrfs/aggrfs/internal/app/client"
	"github.com/aggrfs/aggrfs/internal/app/exit"
	"github.com/aggrfs/aggrfs/internal/app/gaps"
	"github.com/aggrfs/aggrfs/internal/app/ps"
	"github.com/aggrfs/aggrfs/internal/control"
	"github.com/aggrfs/aggrfs/internal/plaintext"
	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/report"
	"github.com/aggrfs/aggrfs/pkg/ninep"
	"github.com/aggrfs/aggrfs/pkg/nodeset"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// Options are what is to be done, and to which processes.
type Options struct {
	Action control.Action
	PIDs   []string // global ones, or NODE:PID; none is all that the others select
	Users  []string // whose; none is everybody's
	Jobs   []string // of which jobs; none is any
	Where  string   // an expression of package where; "" is all
	All    bool     // what the nodes of the source have is selected, though nothing else is said
	Yes    bool     // do not ask
	DryRun bool     // only show
}

// A target is a process that was selected.
type target struct {
	*report.Process
	start  int64 // as field 22 of its stat file
	answer control.Answer
}

// maxCommand is how much of a command line is shown, in bytes.
const maxCommand = 100

// Run selects, shows, asks and acts. in is where the question is answered.
func Run(ctx context.Context, src *client.Source, in *os.File, out io.Writer, o Options) error {
	if len(o.PIDs)+len(o.Users)+len(o.Jobs) == 0 && o.Where == "" && !o.All {
		return exit.Usagef("name processes: PID, NODE:PID, --user, --job, --where or --nodes")
	}
	tree, err := src.OpenTable(ctx)
	if err != nil {
		return err
	}
	defer tree.Close()
	rows, lacking, err := ps.Select(ctx, src, tree, ps.Options{
		PIDs: o.PIDs, Users: o.Users, JobIDs: o.Jobs, Where: o.Where, NoKernel: len(o.PIDs) == 0,
	})
	if err != nil {
		return err
	}
	targets, err := o.targets(ctx, tree, rows)
	if err != nil {
		return err
	}
	gaps.Tell(src.Env, lacking, 0)
	missing := o.missing(targets)
	for _, name := range missing {
		src.Env.Tell("no process %s: it has ended, or is not in your view", name)
	}
	if len(targets) == 0 {
		if !lacking.None() {
			return gaps.NothingKnown("whether there are such processes", lacking)
		}
		return exit.Absentf("no such process")
	}
	if err := show(out, targets); err != nil {
		return err
	}
	lacks := len(missing) > 0 || !lacking.None() && len(o.PIDs) == 0
	if !o.Yes || o.DryRun {
		allowed, err := o.allowed(ctx, src, tree, targets)
		if err != nil || o.DryRun {
			return err
		}
		lacks, targets = lacks || len(allowed) < len(targets), allowed
		if err := confirm(in, fmt.Sprintf("%s: %s?", o.Action, countOf(targets))); err != nil {
			return err
		}
	}
	if err := act(ctx, tree, targets, o.Action); err != nil {
		return err
	}
	return o.result(src, out, targets, lacks)
}

// allowed are the targets that are not known to be refused. Those that are it names: nobody shall
// be asked about what cannot be done. Its error is that the user may act on nothing here, or on
// none of them.
func (o Options) allowed(ctx context.Context, src *client.Source, tree *client.Tree, targets []*target) ([]*target, error) {
	// The same rules of the server and of the node are for an action that changes nothing; of a
	// signal the node's kernel is asked as well.
	harmless := control.Action{Verb: "get-nice"}
	if o.Action.Verb == "signal" {
		harmless = control.Action{Verb: "probe"}
	}
	if err := act(ctx, tree, targets, harmless); err != nil {
		return nil, err
	}
	refused, allowed := make(map[string][]*target), []*target(nil)
	for _, t := range targets {
		if t.answer.Errno == syscall.EPERM {
			why := t.answer.Err().Error()
			refused[why] = append(refused[why], t)
		} else {
			allowed = append(allowed, t)
		}
	}
	for _, why := range slices.Sorted(maps.Keys(refused)) {
		src.Env.Tell("not allowed for %s: %s", countOf(refused[why]), why)
	}
	if len(allowed) == 0 {
		return nil, exit.Absentf("nothing can be done here (see aggrfs whoami and docs/control.md)")
	}
	return allowed, nil
}

// countOf is how many processes there are, and where.
func countOf(targets []*target) string {
	processes := "1 process"
	if len(targets) != 1 {
		processes = fmt.Sprintf("%d processes", len(targets))
	}
	return processes + " on " + nodesOf(targets).String()
}

// targets are the rows that are meant, each with its start time. A process that has ended
// meanwhile is none.
func (o Options) targets(ctx context.Context, tree *client.Tree, rows []*report.Process) ([]*target, error) {
	var all []*target
	for _, p := range rows {
		if len(o.PIDs) > 0 || p.PID != 1 { // the first process of a node is not meant by who does not name it
			all = append(all, &target{Process: p})
		}
	}
	errs := make([]error, len(all))
	turns, wait := semaphore.NewWeighted(64), sync.WaitGroup{}
	for i, t := range all {
		if err := turns.Acquire(ctx, 1); err != nil {
			return nil, err
		}
		wait.Go(func() {
			defer turns.Release(1)
			t.start, errs[i] = startOf(ctx, tree, t.GPID)
		})
	}
	wait.Wait()
	var there []*target
	for i, t := range all {
		switch errno := vfs.Errno(errs[i]); errno {
		case 0:
			there = append(there, t)
		case syscall.ENOENT, syscall.ESRCH:
		default:
			return nil, errs[i]
		}
	}
	return there, nil
}

// startOf is when a process began, as field 22 of its stat file has it.
func startOf(ctx context.Context, tree *client.Tree, g gpid.GPID) (int64, error) {
	stat, err := tree.Read(ctx, g.String(), "stat")
	if err != nil {
		return 0, err
	}
	_, tail, _ := bytes.Cut(stat[bytes.LastIndexByte(stat, ')')+1:], []byte(" "))
	fields := bytes.Fields(tail)
	if len(fields) < 20 {
		return 0, fmt.Errorf("the stat file of %d is none", g)
	}
	return strconv.ParseInt(string(fields[19]), 10, 64)
}

// missing are the processes that were named and are none of the targets.
func (o Options) missing(targets []*target) (names []string) {
	for _, name := range o.PIDs {
		id, err := gpid.ParseID(name)
		if err == nil && !slices.ContainsFunc(targets, func(t *target) bool {
			return id.Node == "" && t.GPID == id.GPID || id.Node != "" && t.Node == string(id.Node) && t.PID == id.PID
		}) {
			names = append(names, name)
		}
	}
	return names
}

func nodesOf(targets []*target) nodeset.Set {
	names := make([]string, len(targets))
	for i, t := range targets {
		names[i] = t.Node
	}
	return nodeset.Of(names...)
}

// show prints the targets.
func show(out io.Writer, targets []*target) error {
	lines := [][]string{{"NODE", "PID", "USER", "COMMAND"}}
	for _, t := range targets {
		command := strings.ReplaceAll(string(t.Command[:min(len(t.Command), maxCommand)]), "\x00", " ")
		lines = append(lines, []string{t.Node, t.GPID.String(), t.User, command})
	}
	_, err := out.Write(plaintext.Table(lines))
	return err
}

// confirm asks at a terminal.
func confirm(in *os.File, question string) error {
	if _, err := unix.IoctlGetTermios(int(in.Fd()), unix.TCGETS); err != nil {
		return exit.Usagef("there is no terminal to ask at whether to go on: say -y to do it, or --dry-run to see what it would be")
	}
	fmt.Fprintf(os.Stderr, "%s [y/N] ", question)
	line, err := bufio.NewReader(in).ReadString('\n')
	if answer := strings.ToLower(strings.TrimSpace(line)); answer != "y" && answer != "yes" {
		return errors.Join(exit.Absentf("nothing was done"), onlyIf(err, io.EOF))
	}
	return nil
}

// onlyIf is err, unless it is none or that one.
func onlyIf(err, not error) error {
	if errors.Is(err, not) {
		return nil
	}
	return err
}

// act has the server carry out the action on the targets, in as few requests as can be.
func act(ctx context.Context, tree *client.Tree, targets []*target, action control.Action) error {
	for len(targets) > 0 {
		var batch []byte
		n := 0
		for n < len(targets) && n < control.MaxRequests {
			t := targets[n]
			next := control.AppendRequest(batch, control.Request{ID: uint64(n), Target: fmt.Sprintf("%d#%d", t.GPID, t.start), Action: action})
			if len(next) > control.MaxBatch {
				break
			}
			batch = next
			n++
		}
		if err := ask(ctx, tree, batch, targets[:n]); err != nil {
			return err
		}
		targets = targets[n:]
	}
	return nil
}

// ask makes one request, and notes the answers.
func ask(ctx context.Context, tree *client.Tree, batch []byte, targets []*target) error {
	ctx, cancel := context.WithTimeout(ctx, tree.Wait())
	defer cancel()
	root, err := tree.Root(ctx)
	if err != nil {
		return tree.Explain(err)
	}
	file, _, err := vfs.WalkPath(ctx, root, "cluster", "ctl")
	if errors.Is(err, syscall.ENOENT) {
		return exit.Absentf("you may not act on processes here: the configuration of the server allows it to nobody, or not to you (control: in the configuration; see docs/control.md)")
	}
	if err != nil {
		return tree.Explain(err)
	}
	h, err := ninep.OpenRW(ctx, file)
	if err != nil {
		return tree.Explain(err)
	}
	defer h.Close()
	for off := 0; off < len(batch); {
		n, err := h.(vfs.Writer).WriteAt(ctx, batch[off:], int64(off))
		if err != nil {
			return tree.Explain(err)
		}
		off += n
	}
	text, err := vfs.ReadAll(ctx, h, control.MaxAnswer)
	if err != nil {
		return tree.Explain(err)
	}
	answers, err := control.ParseAnswers(text)
	if err != nil {
		return err
	}
	for _, t := range targets {
		t.answer = control.Answer{Errno: syscall.EIO, Text: "the server gave no answer"}
	}
	for _, a := range answers {
		if a.ID < uint64(len(targets)) {
			targets[a.ID].answer = a
		}
	}
	return nil
}

// result says what came of it, one line for what is the same, and is nil if all was done.
func (o Options) result(src *client.Source, out io.Writer, targets []*target, lacking bool) error {
	by := make(map[syscall.Errno][]*target)
	var order []syscall.Errno
	for _, t := range targets {
		if by[t.answer.Errno] == nil {
			order = append(order, t.answer.Errno)
		}
		by[t.answer.Errno] = append(by[t.answer.Errno], t)
	}
	slices.Sort(order)
	for _, errno := range order {
		some := by[errno]
		if errno == 0 {
			if _, err := fmt.Fprintf(out, "%s: %s\n", o.Action, countOf(some)); err != nil {
				return err
			}
			continue
		}
		src.Env.Tell("not done for %s: %v", countOf(some), some[0].answer.Err())
	}
	switch {
	case len(by[syscall.EHOSTDOWN])+len(by[syscall.ETIMEDOUT]) > 0:
		return exit.NotKnown(errors.New("it is not known of all whether it was done"))
	case len(by[0]) < len(targets) || lacking:
		return exit.Absentf("it was not done to all")
	}
	return nil
}
