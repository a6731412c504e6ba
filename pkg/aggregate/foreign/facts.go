package foreign

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/aggrfs/aggrfs/internal/procfile"
	"github.com/aggrfs/aggrfs/pkg/snapshot"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// What is taken for granted where the files do not tell.
const (
	defaultHz     = 100 // USER_HZ of all but the oldest machines
	defaultPage   = 4096
	defaultPIDMax = 32768
)

// maxFact is the longest file that facts come from, in bytes: stat has a long line
// for interrupts.
const maxFact = 1 << 20

// facts is what the server's files tell of its machine, and whether they are those of
// Linux. What a file does not tell that is not there is taken for granted; one that
// could not be read leaves open what the machine is, which is an error.
func (l *Leaf) facts(ctx context.Context, root vfs.Dir) (f snapshot.Facts, linux bool, err error) {
	f = snapshot.Facts{
		BootID: l.own, BootTime: l.born, Hz: defaultHz, PageSize: defaultPage, PIDMax: defaultPIDMax,
		Version: "foreign", HidePID: procfile.HideProcess, PIDGID: vfs.NoID,
	}
	content := func(path ...string) []byte {
		text, failed := read(ctx, root, maxFact, path...)
		if failed != nil {
			if !absent(failed) && err == nil {
				err = fmt.Errorf("%s: %w", strings.Join(path, "/"), failed)
			}
			return nil
		}
		return text
	}
	if !bytes.HasPrefix(content("version"), []byte("Linux version ")) {
		return f, false, err
	}
	text := func(path ...string) string {
		line, _, _ := strings.Cut(string(content(path...)), "\n")
		return line[:min(len(line), 255)]
	}
	if id := text("sys", "kernel", "random", "boot_id"); id != "" {
		f.BootID = id
	}
	f.Release, f.Hostname = text("sys", "kernel", "osrelease"), text("sys", "kernel", "hostname")
	if n, err := strconv.ParseInt(text("sys", "kernel", "pid_max"), 10, 32); err == nil && n > 0 {
		f.PIDMax = int(n)
	}
	if n, ok := procfile.BootTimeOf(content("stat")); ok && n > 0 && n < math.MaxInt32*4 {
		f.BootTime = time.Unix(n, 0)
	}
	return f, true, err
}

// absent reports whether err says that a file or process does not exist, or is nothing
// that could be read, and leaves nothing open.
func absent(err error) bool {
	switch vfs.Errno(err) {
	case syscall.ENOENT, syscall.ESRCH, syscall.ENOTDIR, syscall.EISDIR:
		return true
	}
	return false
}

// pageSize is found where a process's size is told in pages and in kB: in statm and in
// status.
func pageSize(found []visited, files []string) int {
	statm, status := slices.Index(files, "statm"), slices.Index(files, "status")
	if statm < 0 || status < 0 {
		return defaultPage
	}
	for _, p := range found {
		first, _, _ := strings.Cut(string(p.files[statm]), " ")
		pages, err := strconv.ParseInt(first, 10, 64)
		kb, ok := procfile.StatusNumber(p.files[status], "VmSize")
		if err != nil || !ok || pages <= 0 || kb <= 0 || kb > math.MaxInt64>>10 || kb<<10%pages != 0 {
			continue
		}
		switch size := kb << 10 / pages; size {
		case 4 << 10, 8 << 10, 16 << 10, 64 << 10:
			return int(size)
		}
	}
	return defaultPage
}
