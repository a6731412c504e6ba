package procfile

import (
	"bytes"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Counters are what one node's file has counted, over all boots of the node that were
// seen: what a sum shows of the node while it does not answer. They never fall. After a
// reboot the new values are added to the last ones of the boot before; a counter that
// falls within a boot (proc_stat(5) says that of iowait) stays where it was until it is
// passed again. They may be used concurrently.
//
// Processor time is that of the node's mean processor, see sumStat: the file as it is
// remembered has no lines of single ones. A boot has as many processors as were seen in it at once.
//
// Only stat and vmstat have counters, see NewCounters. What else they tell, such as how
// many processes run, is a gauge, and not remembered here.
type Counters struct {
	layouts *Layouts
	kind    *counterKind

	mu     sync.Mutex
	boot   string    // guarded by mu, as all below; of which raw is; "" is not known
	before string    // the boot before
	turned time.Time // when boot followed it
	layout *layout
	raw    []uint64 // as the node said last, in ticks of the reader's
	base   []uint64 // of the boots before; nil is all zero
	// processors are the most that the boot had at once; ticks of raw are of all, and those of
	// base of the mean one.
	processors uint64
}

// NewCounters are the counters of a node's file of that name that has seen nothing; nil
// where such a file has none. All nodes of a cluster are given the same layouts.
func NewCounters(name string, layouts *Layouts) *Counters {
	k := Root.File(name).counters
	if k == nil {
		return nil
	}
	return &Counters{layouts: layouts, kind: k, layout: &layout{find: map[string]int{}}}
}

// A counterKind is what is to be known of the counters of one file.
type counterKind struct {
	// columns is how many numbers of a line are counters; 0 is none.
	columns func(key []byte) int
	// running are counters that grow all the time, and so show a new boot where the
	// node does not name its boots.
	running []string
	// inTicks is the line that counts ticks.
	inTicks string
}

// maxName is the longest name of a counter in bytes; a kernel's have less than 40.
const maxName = 64

// lateText is how long after a reboot what was read before it may still come.
const lateText = 10 * time.Second

// Add notes what the file says now, on the boot of that name, "" where it is not known,
// and returns the file with what the boots before have counted added. hz is the node's
// USER_HZ and to the reader's, in which the result is. The result may be text itself.
func (c *Counters) Add(boot string, text []byte, hz, to int64, now time.Time) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	if boot != "" && boot == c.before && now.Sub(c.turned) < lateText {
		return c.appendText(nil)
	}
	fresh, seen, twice := c.parse(text, hz, to)
	c.follow(boot, fresh, seen, now)
	processors := c.count(text)
	if c.base == nil && processors == c.processors && !twice && (hz == to || c.kind.inTicks == "") && slices.Equal(fresh, c.raw) {
		return text
	}
	out := make([]byte, 0, len(text)+len(text)/4)
	told := make([]bool, len(c.layout.keys))
	eachLine(text, func(line []byte) {
		key, _, _ := bytes.Cut(line, space)
		if c.kind.inTicks != "" && isProcessor(key) {
			return
		}
		if c.kind.columns(key) == 0 {
			out = append(append(out, line...), '\n')
		} else if i, ok := c.layout.find[string(key)]; ok && !told[i] {
			out, told[i] = c.appendLine(out, i), true
		}
	})
	for i := range told {
		if !told[i] {
			out = c.appendLine(out, i)
		}
	}
	return out
}

var space = []byte(" ")

// Last is the file with the counters alone, as they were last; nil where none was seen.
// Ticks are those of the reader's.
func (c *Counters) Last() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.appendText(nil)
}

// follow takes over the numbers of a file.
func (c *Counters) follow(boot string, fresh []uint64, seen []bool, now time.Time) {
	anew := boot != "" && c.boot != "" && boot != c.boot
	for _, key := range c.kind.running {
		if i, ok := c.layout.find[key]; ok {
			at := c.layout.at[i]
			anew = anew || seen[at] && fresh[at] < c.raw[at]/2
		}
	}
	if anew {
		for i, n := range c.raw {
			c.carry(i, c.mean(i, n))
		}
		clear(c.raw)
		c.processors = 0
	}
	if boot != "" && boot != c.boot {
		c.before, c.boot, c.turned = c.boot, boot, now
	}
	ticks, ticksEnd := c.ticks()
	for i, n := range fresh {
		switch {
		case !seen[i]:
		case n >= c.raw[i]:
			c.raw[i] = n
		case n < c.raw[i]/2 && (i < ticks || i >= ticksEnd):
			// It began anew by itself. Processor time does not: it is told of fewer
			// processors when one is taken away.
			c.carry(i, c.raw[i])
			c.raw[i] = n
		}
	}
}

// ticks is which numbers are ticks.
func (c *Counters) ticks() (from, to int) {
	i, ok := c.layout.find[c.kind.inTicks]
	if !ok {
		return -1, -1
	}
	return c.layout.span(i)
}

// mean is a number of this boot as it is given out: ticks of one processor.
func (c *Counters) mean(i int, n uint64) uint64 {
	if from, to := c.ticks(); i >= from && i < to && c.processors > 1 {
		return n / c.processors
	}
	return n
}

// count takes over how many processors the file shows, and returns that. Where there are more than before, the
// mean goes on from where it was.
func (c *Counters) count(text []byte) (n uint64) {
	if c.kind.inTicks == "" {
		return 0
	}
	eachLine(text, func(line []byte) {
		if key, _, _ := bytes.Cut(line, space); isProcessor(key) {
			n++
		}
	})
	if n <= c.processors {
		return n
	}
	from, to := c.ticks()
	more := make([]uint64, max(0, to-from))
	for i := range more {
		if c.processors > 0 {
			more[i] = c.mean(from+i, c.raw[from+i])
		}
	}
	grown := c.processors > 0
	c.processors = n
	for i, was := range more {
		if grown {
			c.carry(from+i, was-c.mean(from+i, c.raw[from+i]))
		}
	}
	return n
}

// carry adds to what the boots before have counted.
func (c *Counters) carry(i int, n uint64) {
	if n == 0 {
		return
	}
	if c.base == nil {
		c.base = make([]uint64, len(c.raw))
	}
	c.base[i] = clampedSum(c.base[i], n)
}

// parse reads the counters of a file, and reports whether one is there twice. Where there
// is one that was not seen before, the layout grows.
func (c *Counters) parse(text []byte, hz, to int64) (fresh []uint64, seen []bool, twice bool) {
	next, grown := 0, false
	fresh, seen = make([]uint64, len(c.raw)), make([]bool, len(c.raw))
	eachLine(text, func(line []byte) {
		key, rest, ok := bytes.Cut(line, space)
		if !ok {
			return
		}
		i := next
		if i >= len(c.layout.keys) || c.layout.keys[i] != string(key) {
			if i, ok = c.layout.find[string(key)]; !ok {
				columns := c.kind.columns(key)
				if columns == 0 || c.layout.total+columns > maxKeys {
					return
				}
				if !grown {
					c.layout, grown = c.layout.clone(), true
				}
				i = c.layout.grow(string(key), columns)
				fresh, seen = append(fresh, make([]uint64, columns)...), append(seen, make([]bool, columns)...)
			}
		}
		next = i + 1
		at, end := c.layout.span(i)
		for ; at < end && len(rest) > 0; at++ {
			var word []byte
			rest = bytes.TrimLeft(rest, " ")
			word, rest, _ = bytes.Cut(rest, space)
			n, ok := quantity(word)
			if !ok {
				return
			}
			if string(key) == c.kind.inTicks {
				n = scaleTicks(n, hz, to)
			}
			twice = twice || seen[at]
			fresh[at], seen[at] = n, true
		}
	})
	if grown {
		c.layout = c.layouts.share(c.layout)
		c.raw = append(c.raw, make([]uint64, c.layout.total-len(c.raw))...)
		if c.base != nil {
			c.base = append(c.base, make([]uint64, c.layout.total-len(c.base))...)
		}
	}
	return fresh, seen, twice
}

// appendText appends the counters as a file has them.
func (c *Counters) appendText(out []byte) []byte {
	for i := range c.layout.keys {
		out = c.appendLine(out, i)
	}
	return out
}

// appendLine appends a line of it.
func (c *Counters) appendLine(out []byte, i int) []byte {
	out = append(out, c.layout.keys[i]...)
	for at, end := c.layout.span(i); at < end; at++ {
		n := c.mean(at, c.raw[at])
		if c.base != nil {
			n = clampedSum(n, c.base[at])
		}
		out = strconv.AppendUint(append(out, ' '), n, 10)
	}
	return append(out, '\n')
}

// A layout is the lines of a file that have counters. It never changes once it is
// shared.
type layout struct {
	keys  []string
	at    []int // the index of each line's first number
	total int   // how many numbers there are
	find  map[string]int
}

// Layouts are those that the nodes of a cluster share: most have the same kernel. The
// zero Layouts is empty. It may be used concurrently.
type Layouts struct {
	mu  sync.Mutex
	all []*layout // guarded by mu; the one asked for last comes last
}

// maxLayouts is how many layouts are remembered; a node with another one has it for
// itself.
const maxLayouts = 64

// share is l, or one like it that others have.
func (s *Layouts) share(l *layout) *layout {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.all, func(other *layout) bool {
		return slices.Equal(other.keys, l.keys) && slices.Equal(other.at, l.at) && other.total == l.total
	})
	switch {
	case i >= 0:
		l = s.all[i]
		s.all = slices.Delete(s.all, i, i+1)
	case len(s.all) >= maxLayouts:
		s.all = slices.Delete(s.all, 0, 1)
	}
	s.all = append(s.all, l)
	return l
}

// span is which numbers are those of line i.
func (l *layout) span(i int) (from, to int) {
	if i+1 < len(l.at) {
		return l.at[i], l.at[i+1]
	}
	return l.at[i], l.total
}

func (l *layout) clone() *layout {
	return &layout{keys: slices.Clone(l.keys), at: slices.Clone(l.at), total: l.total, find: maps.Clone(l.find)}
}

// grow adds a line and returns its index.
func (l *layout) grow(key string, columns int) int {
	i := len(l.keys)
	l.keys, l.at = append(l.keys, key), append(l.at, l.total)
	l.find[key] = i
	l.total += columns
	return i
}
