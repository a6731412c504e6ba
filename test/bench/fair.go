package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/aggrfs/aggrfs/test/figures"
	"github.com/aggrfs/aggrfs/test/requester"
)

// greedyThreads is how many threads another has that want all they can get.
const greedyThreads = 2

// beGreedy reads the processes of a directory with some threads, as fast as it can, and without a
// directory has them do nothing, as fast. It says when all of them are at it, and goes on until
// its input ends. The arguments are the number of threads and the directory, "" for none.
func beGreedy(args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("greedy needs a number and a directory, and there are %q", args)
	}
	threads, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	failed, ready := make(chan error, threads), make(chan struct{}, threads)
	for range threads {
		go func() {
			runtime.LockOSThread()
			for n := 0; ; n++ {
				if n == 1 {
					ready <- struct{}{}
				}
				if args[1] == "" {
					continue
				}
				if _, err := readProcesses(args[1]); err != nil {
					failed <- err
					return
				}
			}
		}()
	}
	for range threads {
		select {
		case <-ready:
		case err := <-failed:
			return err
		}
	}
	fmt.Println("ready")
	ended := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		close(ended)
	}()
	select {
	case <-ended:
		return nil
	case err := <-failed:
		return err
	}
}

// fairFigure prints mount-fair: what a user's "ps -ef" by exec takes, the whole command, while root
// reads a mount of its own with some threads as fast as it can, against the same while as many
// threads are as busy with nothing.
func (l *leaf) fairFigure(ctx context.Context) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	text, err := os.ReadFile(self)
	if err != nil {
		return err
	}
	program := filepath.Join(l.dir, "greedy")
	if err := errors.Join(os.WriteFile(program, text, 0o755), os.Chmod(program, 0o755)); err != nil {
		return err
	}
	threads := fmt.Sprint(greedyThreads)
	others := []func(context.Context) *exec.Cmd{
		func(ctx context.Context) *exec.Cmd {
			return l.programs.Root().Aggrfs(ctx, "exec", "--server", l.address, "--nodes", "n1", "--", program, "greedy", threads, "/proc")
		},
		func(ctx context.Context) *exec.Cmd {
			return requester.Bounded(ctx, program, "greedy", threads, "")
		},
	}
	times := make([][]time.Duration, len(others))
	for range l.of.rounds {
		for i, other := range others {
			took, err := l.beside(ctx, other)
			if err != nil {
				return fmt.Errorf("mount-fair: %w", err)
			}
			times[i] = append(times[i], took)
		}
	}
	figures.Print("mount-fair", figures.Median(times[0]), figures.Median(times[1]))
	return nil
}

// beside is what a user's second ps takes while another command is at its work.
func (l *leaf) beside(ctx context.Context, other func(context.Context) *exec.Cmd) (took time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, commandLimit)
	defer cancel()
	cmd := other(ctx)
	defer requester.Finish(cmd)
	var complaint strings.Builder
	cmd.Stderr = &complaint
	in, err := cmd.StdinPipe()
	if err != nil {
		return 0, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, err
	}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err == nil && line != "ready\n" {
		err = fmt.Errorf("it says %q", line)
	}
	for range 2 { // the first has the server know what the other may have asked for
		if err != nil {
			break
		}
		begun := time.Now()
		err = quiet(ctx, l.programs.User().Aggrfs(ctx, "exec", "--server", l.address, "--nodes", "n1", "--", "ps", "-ef"))
		took = time.Since(begun)
	}
	in.Close()
	if e := cmd.Wait(); err != nil || e != nil {
		return 0, fmt.Errorf("%v: %w: %s", cmd.Args, errors.Join(err, e), &complaint)
	}
	return took, nil
}
