package userdb

import (
	"errors"
	"io/fs"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aggrfs/aggrfs/internal/filewatch"
	"github.com/aggrfs/aggrfs/internal/trusted"
)

// maxSubordinates bounds what is read of subuid(5) and subgid(5), in bytes.
const maxSubordinates = 4 << 20

// A grant is a line of subuid(5): ids that a user may take in a user namespace
// (newuidmap(1)).
type grant struct {
	owner string // a name, or a number
	first uint32
	count uint64
}

// grants are those of one file, as it was when it was last looked at.
type grants struct {
	path string

	mu    sync.Mutex
	watch filewatch.Watch // guarded by mu, as the rest
	all   []grant
	until time.Time
}

// grantsAge is how long a file is not looked at again.
const grantsAge = time.Second

func (g *grants) of(id uint32, now time.Time) (owner string, is bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !now.Before(g.until) {
		g.read()
		g.until = now.Add(grantsAge)
	}
	for _, one := range g.all {
		if id >= one.first && uint64(id-one.first) < one.count {
			return one.owner, true
		}
	}
	return "", false
}

// read reads the file if it has changed. One that cannot be read has nothing new in it.
func (g *grants) read() {
	if !g.watch.Changed(g.path) {
		return
	}
	text, err := trusted.ReadRegular(g.path, maxSubordinates, nil)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		g.all = nil
	case err != nil && len(text) == 0:
		g.watch = filewatch.Watch{} // it is read again at the next look
	default:
		g.all = parseGrants(string(text))
	}
}

// parseGrants reads lines such as "ann:100000:65536". Other lines say nothing.
func parseGrants(text string) (all []grant) {
	for line := range strings.Lines(text) {
		f := strings.Split(strings.TrimSpace(line), ":")
		if len(f) != 3 || f[0] == "" || f[0][0] == '#' {
			continue
		}
		first, err := strconv.ParseUint(f[1], 10, 32)
		if err != nil || first == 0 {
			continue
		}
		if count, err := strconv.ParseUint(f[2], 10, 32); err == nil && count > 0 {
			all = append(all, grant{f[0], uint32(first), count})
		}
	}
	return all
}
