package main

import (
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// psFiles are what "ps -ef" opens of each process. ctty does not exist.
var psFiles = []string{"stat", "status", "environ", "cmdline", "ctty"}

// readAsPS does with a directory what "ps -ef" does with /proc, and nothing else, and prints what
// it took on stderr, in seconds. The arguments are the directory, how long to wait before that,
// how many processes there are at least, and how often to do it.
func readAsPS(args []string) error {
	if len(args) != 4 {
		return fmt.Errorf("read needs a directory, a time and two numbers, and there are %q", args)
	}
	pause, err := time.ParseDuration(args[1])
	if err != nil {
		return err
	}
	least, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	runs, err := strconv.Atoi(args[3])
	if err != nil {
		return err
	}
	time.Sleep(pause)
	for range runs {
		start := time.Now()
		n, err := readProcesses(args[0])
		if err != nil {
			return err
		}
		if n < least {
			return fmt.Errorf("%s has %d processes of %d", args[0], n, least)
		}
		fmt.Fprintf(os.Stderr, "%.4f\n", time.Since(start).Seconds())
	}
	return nil
}

// readProcesses reads all processes once and counts them.
func readProcesses(dir string) (n int, err error) {
	d, err := os.Open(dir)
	if err != nil {
		return 0, err
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return 0, err
	}
	buf := make([]byte, 2048)
	for _, name := range names {
		if name[0] < '1' || name[0] > '9' {
			continue
		}
		path := dir + "/" + name
		var st unix.Stat_t
		if unix.Stat(path, &st) != nil {
			continue // it has ended
		}
		n++
		for _, file := range psFiles {
			fd, err := unix.Open(path+"/"+file, unix.O_RDONLY, 0)
			if err != nil {
				continue // there is none, or others may not read it
			}
			for {
				if got, err := unix.Read(fd, buf); err != nil || got < len(buf) {
					break
				}
			}
			unix.Close(fd)
		}
	}
	return n, nil
}
