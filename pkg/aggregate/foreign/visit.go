package foreign

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/aggrfs/aggrfs/internal/procfile"
	"github.com/aggrfs/aggrfs/pkg/snapshot"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

const (
	maxProcesses = 100_000
	maxFile      = 64 << 10  // bytes of one file of a process
	maxBytes     = 128 << 20 // of all
	visitors     = 16        // processes that are looked at side by side
)

// A visited is what was found of one process.
type visited struct {
	pid   int32
	attr  vfs.Attr
	files [][]byte
	errs  []syscall.Errno // 0 where there is a file
}

// listPIDs are the processes that the server lists, by number.
func listPIDs(ctx context.Context, root vfs.Dir) ([]int32, error) {
	h, err := root.List(ctx)
	if err != nil {
		return nil, err
	}
	defer h.Close()
	var pids []int32
	var entries []vfs.DirEntry
	for offset := uint64(0); ; {
		if entries, err = h.ReadDir(ctx, offset, entries[:0], 1024); err != nil {
			return nil, err
		}
		if len(entries) == 0 {
			break
		}
		for _, e := range entries {
			n, err := strconv.ParseInt(e.Name, 10, 32)
			if err == nil && n > 0 && e.Name[0] != '0' && e.Name[0] != '+' && e.Type == vfs.TypeDir {
				pids = append(pids, int32(n))
			}
		}
		next := entries[len(entries)-1].Next
		if len(pids) > maxProcesses {
			break // visitAll counts one too many
		}
		if next == offset {
			return nil, errors.New("the server's listing does not go on")
		}
		offset = next
	}
	slices.Sort(pids)
	return slices.Compact(pids), nil
}

// visitAll looks at all processes, as far as time and room allow, and counts those
// that it did not get to or that could not be read; why the first of them was not.
func visitAll(ctx context.Context, root vfs.Dir, pids []int32, files []string) (found []visited, skipped int, why syscall.Errno) {
	// The answer must leave while somebody still waits for it.
	if end, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, end.Add(-time.Until(end)/8))
		defer cancel()
	}
	var next, room atomic.Int64
	room.Store(maxBytes)
	var mu sync.Mutex
	var all sync.WaitGroup
	for range min(visitors, len(pids)) {
		all.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(pids) {
					return
				}
				p, err := visit(ctx, root, pids[i], files)
				left := room.Add(-p.size())
				if err == nil && (left < 0 || i >= maxProcesses) {
					err = syscall.EFBIG
				}
				mu.Lock()
				if err == nil {
					found = append(found, p)
				} else if ctx.Err() != nil || !absent(err) {
					if skipped++; why == 0 {
						why = vfs.Errno(err)
					}
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	slices.SortFunc(found, func(a, b visited) int { return cmp.Compare(a.pid, b.pid) })
	return found, skipped, why
}

// errNoProcess is what is listed as a process and is none of Linux, on a server that
// says that it has those.
var errNoProcess = fmt.Errorf("it is no process of Linux: %w", syscall.EPROTO)

// visit looks at one process. An error is that it does not exist any more, that it
// could not be read, or that there is no time.
func visit(ctx context.Context, root vfs.Dir, pid int32, files []string) (visited, error) {
	p := visited{pid: pid, files: make([][]byte, len(files)), errs: make([]syscall.Errno, len(files))}
	name := strconv.Itoa(int(pid))
	n, err := root.Walk(ctx, name)
	if err != nil {
		return p, err
	}
	dir, ok := n.(vfs.Dir)
	if !ok {
		return p, syscall.ENOTDIR
	}
	if p.attr, err = attrOf(ctx, dir); err != nil {
		return p, err
	}
	p.attr.ID = dir.ID()
	for i, file := range files {
		content, err := read(ctx, dir, maxFile, strings.Split(file, "/")...)
		switch {
		case ctx.Err() != nil:
			return p, context.Cause(ctx)
		case err != nil && file == "stat" && !absent(err):
			return p, err
		case err != nil:
			p.errs[i] = vfs.Errno(err)
		case file == "stat" && !procfile.IsStatOf(name, content):
			return p, errNoProcess
		default:
			p.files[i] = content
		}
		// Where owners have names that mean nothing here, status has their numbers.
		if uid, gid, ok := procfile.StatusOwner(content); file == "status" && ok && p.attr.UID == vfs.OverflowID {
			p.attr.UID, p.attr.GID = uid, gid
		}
	}
	return p, nil
}

func attrOf(ctx context.Context, n vfs.Node) (vfs.Attr, error) {
	if p, ok := n.(vfs.Previewer); ok { // it came with the walk
		if a := p.Preview(); a.Mode != 0 {
			return a, nil
		}
	}
	return n.Attr(ctx)
}

// read is the content of a file below dir.
func read(ctx context.Context, dir vfs.Dir, most int, path ...string) ([]byte, error) {
	h, _, err := vfs.OpenPath(ctx, dir, path...)
	if err != nil {
		return nil, err
	}
	defer h.Close()
	return vfs.ReadAll(ctx, h, most)
}

// size is the memory that its files take, in bytes.
func (p *visited) size() (n int64) {
	for _, f := range p.files {
		n += int64(len(f))
	}
	return n
}

// add adds the process to an answer.
func (p *visited) add(b *snapshot.Builder) {
	b.Begin(snapshot.Proc{
		PID: p.pid, ID: p.attr.ID, UID: p.attr.UID, GID: p.attr.GID, Mode: p.attr.Mode, Nlink: p.attr.Nlink,
		Mtime: p.attr.Mtime.UnixNano(), FileUID: p.attr.UID, FileGID: p.attr.GID,
	})
	for i, content := range p.files {
		if p.errs[i] != 0 {
			b.Fail(p.errs[i])
		} else {
			b.Add(content)
		}
	}
}
