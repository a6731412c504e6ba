package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// listings lists a large directory with frames of several sizes.
func (g *guest) listings(d dialect, w way) {
	for _, msize := range []int{4096, 8192, 65536, 1 << 20} {
		g.check(name(fmt.Sprintf("a large directory, msize=%d", msize), d, w), func(c *check) {
			dir, unmount := mount(c, d, w, 0, fmt.Sprintf("access=user,msize=%d", msize))
			defer unmount()
			if got := mountOption(c, dir, "msize"); got != fmt.Sprint(msize) {
				c.errorf("the mount has msize=%s", got)
			}
			want := names(c, fmt.Sprintf("%s/%d/fd", native, g.fds), 1<<20, false)
			if len(want) < entries {
				c.fatalf("it has %d entries only", len(want))
			}
			// The leaf of the front end, and one behind another connection. Small
			// reads leave the client with a part of what it got; reading again
			// from the middle makes it ask for what it had, which 9P2000 forbids.
			for path, buffer := range map[string]int{fmt.Sprintf("/%d/fd", g.fds): 32 << 10, fmt.Sprintf("/nodes/n1/%d/fd", g.fds): 512} {
				got := names(c, dir+path, buffer, buffer > 512 && d.users)
				if !slices.Equal(got, want) {
					c.errorf("%s by reads of %d bytes: %d names, not %d: %s", path, buffer, len(got), len(want), difference(got, want))
				}
			}
		})
	}
}

// names are a directory's, sorted, as often as they are listed, read with a buffer
// of that size. With again, what follows the first few reads is read twice, from
// an offset that the kernel gave, and must be the same.
func names(c *check, dir string, buffer int, again bool) (all []string) {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	c.must(err)
	defer unix.Close(fd)
	buf := make([]byte, buffer)
	more := func() bool {
		n, err := unix.Getdents(fd, buf)
		if err != nil {
			c.fatalf("%s: after %d entries: %v", dir, len(all), err)
		}
		_, _, all = unix.ParseDirent(buf[:n], -1, all)
		return n > 0
	}
	for range 3 {
		if !more() {
			break
		}
	}
	if again {
		here, err := unix.Seek(fd, 0, io.SeekCurrent)
		c.must(err)
		first := len(all)
		for more() {
		}
		once := slices.Clone(all[first:])
		all = all[:first]
		_, err = unix.Seek(fd, here, io.SeekStart)
		c.must(err)
		defer func() {
			if len(once) == 0 {
				c.errorf("%s: nothing was left to be read twice", dir)
			}
		}()
		for more() {
		}
		if !slices.Equal(once, all[first:]) {
			c.errorf("%s: %d entries from the middle, and then %d", dir, len(once), len(all)-first)
		}
	}
	for more() {
	}
	slices.Sort(all)
	return all
}

// difference is the first name that is in one list only.
func difference(got, want []string) string {
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || got[i] != want[i] {
			return fmt.Sprintf("from number %d on, %q and %q", i, got[min(i, len(got)):min(i+3, len(got))], want[min(i, len(want)):min(i+3, len(want))])
		}
	}
	return "none"
}

// mounted is the line of a mount in /proc/mounts, or "".
func mounted(dir string) string {
	text, _ := os.ReadFile(native + "/mounts")
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 3 && f[1] == dir {
			return line
		}
	}
	return ""
}

// mountOption is the value of an option of a mount.
func mountOption(c *check, dir, key string) string {
	f := strings.Fields(mounted(dir))
	if len(f) < 4 {
		c.fatalf("%s is not mounted", dir)
	}
	for option := range strings.SplitSeq(f[3], ",") {
		if value, ok := strings.CutPrefix(option, key+"="); ok {
			return value
		}
	}
	return ""
}
