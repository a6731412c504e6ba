package procfile

// Counts are of the processes that one reader sees of a node.
type Counts struct {
	Processes, Threads, Running, Blocked uint64
}

// Add counts a process by its stat file. What has not the form of one counts as one
// sleeping thread.
func (c *Counts) Add(stat []byte) {
	c.Processes++
	l, ok := ParseStat(nil, stat)
	if !ok {
		l = Stat{State: 'S', Threads: 1}
	}
	c.Threads = clampedSum(c.Threads, uint64(l.Threads))
	switch l.State {
	case 'R':
		c.Running++
	case 'D':
		c.Blocked++
	}
}

// Limit makes a node's root file tell of these processes only, where it counts
// processes; other files stay as they are. The load itself is the machine's.
func Limit(name string, text []byte, c Counts) []byte {
	if f := Root.File(name); f.limit != nil {
		return f.limit(text, c)
	}
	return text
}

// CountsProcesses reports whether Limit changes the file of that name.
func CountsProcesses(name string) bool { return Root.File(name).limit != nil }
