package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aggrfs/aggrfs/pkg/snapshot"
	"github.com/aggrfs/aggrfs/pkg/vfs"
	"github.com/aggrfs/aggrfs/test/cluster"
	"github.com/aggrfs/aggrfs/test/figures"
	"github.com/aggrfs/aggrfs/test/procsim"
)

const (
	// sampledNodes is how many nodes sample-nodes has at most.
	sampledNodes = 1000
	// sampleTime is for how long is sampled.
	sampleTime = 15 * time.Second
	// sampleCPU is how much of a processor the front end may take.
	sampleCPU = 0.5
	// sampleAge is how old what is read may be.
	sampleAge = time.Second
	// sampleEnd is longer than a node is sampled after its last reader.
	sampleEnd = 6 * time.Second
	// idleTime is how long it is looked at what is asked of nodes when nobody reads.
	idleTime = 10 * time.Second
)

// samplerFigures prints what sampling costs: sample-nodes, the figures of nodes ten times a second;
// sample-rate, all processes once a second with one of twenty changing; of either, how many samples
// there were of those wanted, and what the front end took; sample-age, how old what is read is;
// sum-by-user, a table of what users use, against a sweep; idle, what is asked of nodes when the last
// reader has gone; leaf-10hz, what a leaf takes for its figures, against reading the same files.
func samplerFigures(ctx context.Context, of size) error {
	var short shortfalls
	short.add(sampleNodes(ctx, size{min(of.nodes, sampledNodes), 20}))
	short.add(sampleProcesses(ctx, of))
	short.add(leafFigures(ctx))
	return short.err()
}

// count is what was asked of the simulated nodes.
type count struct{ figures, sweeps, others int64 }

func (s *simulated) count() (c count, err error) {
	path := filepath.Join(s.dir, "counted")
	if err := s.do("counted %s", path); err != nil {
		return c, err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return c, err
	}
	_, err = fmt.Sscan(string(text), &c.figures, &c.sweeps, &c.others)
	return c, err
}

// ownCPU is the processor time that this process has taken.
func ownCPU() time.Duration {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &t)
	return time.Duration(t.Nano())
}

// read reads a file of cluster/ whole.
func (f *front) read(ctx context.Context, path ...string) (string, error) {
	root, err := f.Attach(ctx, vfs.Root, "")
	if err != nil {
		return "", err
	}
	text, err := vfs.ReadFile(ctx, root.(vfs.Dir), 1<<30, append([]string{"cluster"}, path...)...)
	return string(text), err
}

// watched reads a file once a second while it is sampled, and reports what that took. each gets
// what was read, and when.
func watched(ctx context.Context, s *simulated, f *front, each func(text string, at time.Time) error, path ...string) (took, cpu time.Duration, of count, err error) {
	if _, err = f.read(ctx, path...); err != nil {
		return 0, 0, of, err
	}
	if err = pause(ctx, 2*time.Second); err != nil { // the first of all nodes are at once
		return 0, 0, of, err
	}
	before, err := s.count()
	if err != nil {
		return 0, 0, of, err
	}
	start, used := time.Now(), ownCPU()
	for time.Since(start) < sampleTime {
		text, err := f.read(ctx, path...)
		if err == nil {
			err = each(text, time.Now())
		}
		if err != nil {
			return 0, 0, of, err
		}
		if err := pause(ctx, time.Second); err != nil {
			return 0, 0, of, err
		}
	}
	took, cpu = time.Since(start), ownCPU()-used
	after, err := s.count()
	return took, cpu, count{after.figures - before.figures, after.sweeps - before.sweeps, after.others - before.others}, err
}

// printSampled prints what was achieved of what was wanted, and what it took.
func printSampled(name string, got int64, wanted float64, took, cpu time.Duration) {
	figures.Ratio(name, fmt.Sprintf("%.0f/s", float64(got)/took.Seconds()), fmt.Sprintf("%.0f/s", wanted/took.Seconds()), float64(got)/wanted)
	cores := cpu.Seconds() / took.Seconds()
	figures.Ratio(name+"-cpu", fmt.Sprintf("%.2fcores", cores), fmt.Sprintf("%.2fcores", sampleCPU), cores/sampleCPU)
}

// rowsIn is how many rows a table in text has.
func rowsIn(text string) (n int) {
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "#") {
			n++
		}
	}
	return n - 1
}

func sampleNodes(ctx context.Context, of size) (err error) {
	s, err := simulate(ctx, of.nodes, of.procs, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	f, err := newFront(s, sweepKeep, patient)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	f.Ready(ctx)
	whole := func(text string, _ time.Time) error {
		if n := rowsIn(text); n != of.nodes {
			return fmt.Errorf("load has %d of %d nodes", n, of.nodes)
		}
		return nil
	}
	took, cpu, got, err := watched(ctx, s, f, whole, "every", "100ms", "load")
	if err != nil {
		return err
	}
	printSampled("sample-nodes", got.figures, float64(of.nodes)*took.Seconds()*10, took, cpu)
	return nil
}

func sampleProcesses(ctx context.Context, of size) (err error) {
	s, err := simulate(ctx, of.nodes, of.procs, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	f, err := newFront(s, sweepKeep, patient)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	f.Ready(ctx)
	if _, err := f.whole(ctx, of.all()); err != nil {
		return err
	}
	if err := sumByUser(ctx, s, f, of); err != nil {
		return err
	}
	if err := s.do("live %g", sweepChurn); err != nil {
		return err
	}
	var ages []time.Duration
	took, cpu, got, err := watched(ctx, s, f, func(text string, _ time.Time) error {
		if rowsIn(text) == 0 {
			return errors.New("no user has a process")
		}
		// The figures come with the processes.
		mem, err := f.read(ctx, "mem")
		if err != nil {
			return err
		}
		more, err := agesIn(mem, time.Now())
		ages = append(ages, more...)
		return err
	}, "users")
	if err != nil {
		return err
	}
	printSampled("sample-rate", got.sweeps, float64(of.nodes)*took.Seconds(), took, cpu)
	slices.Sort(ages)
	age := ages[len(ages)*99/100]
	figures.Print("sample-age", age, sampleAge)
	return idle(ctx, s)
}

// agesIn are how old the figures are of which a mem table has been made.
func agesIn(text string, at time.Time) (ages []time.Duration, err error) {
	header, rows, _ := strings.Cut(text, "\n")
	dirty := slices.Index(strings.Fields(header), "DIRTY")
	for line := range strings.Lines(rows) {
		cells := strings.Fields(line)
		if cells[0] == "#" {
			continue
		}
		ms, err := strconv.ParseInt(cells[dirty], 10, 64)
		if err != nil {
			return nil, err
		}
		ages = append(ages, time.Duration(procsim.Clock(at)-ms)*time.Millisecond)
	}
	return ages, nil
}

// sumByUser prints what the first look at what users use takes, against a sweep of the same nodes.
func sumByUser(ctx context.Context, s *simulated, f *front, of size) error {
	var ours, theirs time.Duration
	for range coldRounds {
		if err := s.do("churn %g", sweepChurn); err != nil {
			return err
		}
		if err := pause(ctx, sampleEnd+sweepKeep); err != nil { // nothing is sampled, nothing is fresh
			return err
		}
		took, err := f.whole(ctx, of.all())
		if err != nil {
			return err
		}
		theirs = least(theirs, took)
		if err := s.do("churn %g", sweepChurn); err != nil {
			return err
		}
		if err := pause(ctx, 2*took+2*sweepKeep); err != nil {
			return err
		}
		start := time.Now()
		text, err := f.read(ctx, "users.json")
		if err != nil {
			return err
		}
		ours = least(ours, time.Since(start))
		if n := procsIn(text); n != of.all() {
			return fmt.Errorf("users have %d of %d processes", n, of.all())
		}
	}
	figures.Print("sum-by-user", ours, theirs)
	return nil
}

// procsIn are the processes of all rows of a table of sums, in JSON.
func procsIn(text string) (n int) {
	for line := range strings.Lines(text) {
		if _, rest, ok := strings.Cut(line, `"procs":`); ok {
			digits, _, _ := strings.Cut(rest, ",")
			one, _ := strconv.Atoi(digits)
			n += one
		}
	}
	return n
}

// idle prints how much is asked of the nodes when nobody reads any more.
func idle(ctx context.Context, s *simulated) error {
	if err := pause(ctx, sampleEnd); err != nil {
		return err
	}
	before, err := s.count()
	if err != nil {
		return err
	}
	if err := pause(ctx, idleTime); err != nil {
		return err
	}
	after, err := s.count()
	if err != nil {
		return err
	}
	n := after.figures + after.sweeps + after.others - before.figures - before.sweeps - before.others
	figures.Ratio("idle", fmt.Sprint(n), "0", float64(n))
	return nil
}

// figureFiles are what a leaf reads for its figures.
var figureFiles = []string{"loadavg", "stat", "meminfo", "vmstat", "net/dev", "diskstats", "pressure/cpu", "pressure/memory", "pressure/io"}

const (
	figureHz    = 10
	figureTimes = 15 * figureHz
)

// leafFigures prints the processor time that procsrv takes for its figures at 10 Hz, against a
// minimal loop that opens, reads and closes the same files on the same node.
func leafFigures(ctx context.Context) (err error) {
	c, err := cluster.Start(ctx, cluster.Options{Nodes: 1, ProcsrvPath: "bin/procsrv", Workload: func(string) []cluster.Process { return nil }})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	n := c.Nodes[0]
	leaf, err := n.HostPID(n.LeafPID())
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if err := copyFile(filepath.Join(n.Root, "run/scale"), self); err != nil {
		return err
	}
	before, err := cpuTime(leaf)
	if err != nil {
		return err
	}
	if err := takeFigures(ctx, n.Address); err != nil {
		return err
	}
	after, err := cpuTime(leaf)
	if err != nil {
		return err
	}
	text, err := n.Command(ctx, "/run/scale", "bare-figures").Output()
	if err != nil {
		return err
	}
	theirs, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		return fmt.Errorf("the bare loop says %q", text)
	}
	figures.Print("leaf-10hz", (after-before)/figureTimes, time.Duration(theirs)/figureTimes)
	return nil
}

// takeFigures asks a leaf for its figures, ten times a second.
func takeFigures(ctx context.Context, address string) error {
	up, err := dial(address)(ctx)
	if err != nil {
		return err
	}
	defer up.Close()
	root, err := up.Attach(ctx, vfs.Root, "snapshot")
	if err != nil {
		return err
	}
	file, err := root.(vfs.Dir).Walk(ctx, snapshot.SweepFile)
	if err != nil {
		return err
	}
	h, err := openRPC(ctx, file)
	if err != nil {
		return err
	}
	defer h.Close()
	var held *snapshot.Figures
	for range figureTimes {
		start := time.Now()
		if held, err = snapshot.FetchFigures(ctx, h, 0, held, snapshot.Limits{}); err != nil {
			return err
		}
		time.Sleep(time.Second/figureHz - time.Since(start))
	}
	if held.Group(snapshot.CPUFigures) == nil {
		return errors.New("the leaf tells nothing of its processors")
	}
	return nil
}

// bareFigures reads the same files and prints the processor time that it took, in ns.
func bareFigures() error {
	buf := make([]byte, 64<<10)
	var total int64
	for range figureTimes {
		start := time.Now()
		var before, after unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &before); err != nil {
			return err
		}
		for _, name := range figureFiles {
			fd, err := unix.Open("/proc/"+name, unix.O_RDONLY, 0)
			if err != nil {
				continue
			}
			for n := 1; n > 0 && err == nil; {
				n, err = unix.Read(fd, buf)
			}
			unix.Close(fd)
		}
		if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &after); err != nil {
			return err
		}
		total += after.Nano() - before.Nano()
		time.Sleep(time.Second/figureHz - time.Since(start))
	}
	fmt.Println(total)
	return nil
}
