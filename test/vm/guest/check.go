package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/aggrfs/aggrfs/test/vm/report"
)

// limit bounds each check, and so whatever hangs in it.
const limit = 90 * time.Second

// A guest is the machine.
type guest struct {
	console *os.File
	pids    workload
	fds     int // the process that has many files open
}

// A check is one that is being done.
type check struct {
	ctx context.Context // ends at the check's deadline

	mu       sync.Mutex
	failures []string // guarded by mu
	notes    []string // guarded by mu
}

// over is what fatalf panics with.
type over struct{}

// check does one check and says what came of it. One that does not end in time is
// left behind, with its goroutine.
func (g *guest) check(name string, do func(*check)) bool {
	start := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	c := &check{ctx: ctx}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			if p := recover(); p != nil && p != any(over{}) {
				c.errorf("panic: %v\n%s", p, debug.Stack())
			}
		}()
		do(c)
	}()
	select {
	case <-done:
	case <-time.After(limit + 5*time.Second):
		c.errorf("it has not ended after %v; waiting in the kernel:\n%s", limit, waiting())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	r := report.Result{Name: name, Took: time.Since(start), Failed: len(c.failures) > 0, Detail: strings.Join(c.notes, "\n")}
	if r.Failed {
		r.Detail = strings.Join(c.failures, "\n") + logs()
	}
	g.send(r)
	return !r.Failed
}

// send writes to the console, or, before it is there, nowhere.
func (g *guest) send(r report.Result) { g.console.Write(r.Line()) }

// errorf says what is wrong.
func (c *check) errorf(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failures = append(c.failures, fmt.Sprintf(format, args...))
}

// fatalf says what is wrong and ends the check, whose goroutine it must be.
func (c *check) fatalf(format string, args ...any) {
	c.errorf(format, args...)
	panic(over{})
}

// must ends the check if there is an error.
func (c *check) must(err error) {
	if err != nil {
		c.fatalf("%v", err)
	}
}

// notef is for what was measured.
func (c *check) notef(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.notes = append(c.notes, fmt.Sprintf(format, args...))
}

// eventually polls until f is true.
func (c *check) eventually(what string, within time.Duration, f func() bool) {
	for end := time.Now().Add(within); !f(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			c.fatalf("%s: not within %v", what, within)
		}
	}
}

// waiting are the processes in uninterruptible sleep, with where in the kernel.
func waiting() string {
	var b strings.Builder
	dirs, _ := filepath.Glob(native + "/[0-9]*/task/[0-9]*")
	for _, dir := range dirs {
		if state(dir) == "D" {
			stack, _ := os.ReadFile(dir + "/stack")
			comm, _ := os.ReadFile(dir + "/comm")
			fmt.Fprintf(&b, "%s %s%s", dir, comm, stack)
		}
	}
	return b.String()
}

// state is that of a process or thread, as in the third field of its stat; "" if
// it is gone.
func state(dir string) string {
	stat, _ := os.ReadFile(dir + "/stat")
	_, rest, _ := strings.Cut(string(stat), ") ")
	s, _, _ := strings.Cut(rest, " ")
	return s
}

// logs is the end of what each program has logged.
func logs() string {
	var b strings.Builder
	paths, _ := filepath.Glob("/run/*.log")
	for _, path := range paths {
		text, _ := os.ReadFile(path)
		lines := strings.Split(strings.TrimSpace(string(text)), "\n")
		fmt.Fprintf(&b, "\n-- %s\n%s", filepath.Base(path), strings.Join(lines[max(0, len(lines)-5):], "\n"))
	}
	return b.String()
}
