package meter

import (
	"context"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aggrfs/aggrfs/internal/procfile"
	"github.com/aggrfs/aggrfs/pkg/snapshot"
)

const (
	// spaceEvery is how often file systems are asked at most, and mountsEvery how often it is looked
	// which there are: both change slowly, and each look costs calls.
	spaceEvery  = time.Second
	mountsEvery = 10 * time.Second
	// mostMounts is how many are asked.
	mostMounts = 64
)

// local are the types of file systems that are on this machine alone. One on a network may not
// answer for ever, and tells of another machine.
var local = map[string]bool{
	"ext2": true, "ext3": true, "ext4": true, "xfs": true, "btrfs": true, "f2fs": true, "bcachefs": true, "zfs": true, "jfs": true,
	"reiserfs": true, "vfat": true, "exfat": true, "ntfs3": true,
}

// inMemory are where file systems in memory are looked at: those that users fill.
var inMemory = []string{"/tmp", "/var/tmp", "/dev/shm"}

// counted reports whether a mount is looked at.
func counted(fstype, dir string) bool {
	switch fstype {
	case "tmpfs":
		return slices.Contains(inMemory, dir)
	case "overlay":
		return dir == "/"
	}
	return local[fstype]
}

// A space is what is known of how full file systems are.
type space struct {
	mountinfo string
	statfs    func(dir string, into *unix.Statfs_t) error

	listed time.Time // when mounts was made
	taken  time.Time // when last was
	last   snapshot.Group
	mounts []string

	mu      sync.Mutex
	waiting map[string]bool // those that have not answered yet; guarded by mu
}

func newSpace(mountinfo string) *space {
	return &space{mountinfo: mountinfo, statfs: unix.Statfs, waiting: make(map[string]bool)}
}

// group is how full they are.
func (s *space) group(ctx context.Context) snapshot.Group {
	now := time.Now()
	if now.Sub(s.taken) < spaceEvery {
		return s.last
	}
	if s.taken = now; now.Sub(s.listed) >= mountsEvery {
		s.listed = now
		s.list()
	}
	ctx, cancel := context.WithTimeout(ctx, statTime)
	defer cancel()
	answers := s.ask(ctx)
	g := snapshot.Group{Name: snapshot.SpaceFigures, Fields: spaceFields}
	for _, dir := range s.mounts {
		st, ok := answers[dir]
		if !ok || st.Blocks == 0 {
			continue
		}
		kib := func(blocks uint64) int64 { return int64(blocks * uint64(st.Frsize) / 1024) }
		g.Rows = append(g.Rows, dir)
		g.Values = append(g.Values, kib(st.Blocks), kib(st.Bfree), kib(st.Bavail))
	}
	s.last = g
	return g
}

// list finds which file systems there are, each once.
func (s *space) list() {
	s.mounts = nil
	text, err := os.ReadFile(s.mountinfo)
	if err != nil {
		return
	}
	seen := make(map[string]bool)
	for m := range procfile.Mounts(text) {
		if len(s.mounts) < mostMounts && counted(m.FSType, m.Dir) && !seen[m.Device] {
			seen[m.Device] = true
			s.mounts = append(s.mounts, m.Dir)
		}
	}
}

// ask asks all that are not being asked still, each in a call of its own, until ctx ends. What
// comes later is dropped.
func (s *space) ask(ctx context.Context) map[string]unix.Statfs_t {
	s.mu.Lock()
	answers, left, done := make(map[string]unix.Statfs_t), 0, make(chan struct{})
	for _, dir := range s.mounts {
		if s.waiting[dir] {
			continue
		}
		s.waiting[dir] = true
		left++
		go func() {
			var st unix.Statfs_t
			err := s.statfs(dir, &st)
			s.mu.Lock()
			defer s.mu.Unlock()
			delete(s.waiting, dir)
			if err == nil {
				answers[dir] = st
			}
			if left--; left == 0 {
				close(done)
			}
		}()
	}
	none := left == 0
	s.mu.Unlock()
	if !none {
		select {
		case <-done:
		case <-ctx.Done():
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(answers) // those that come later write to the other
}
