package rewrite

// For returns what rewrites the file at path below a process directory, or nil
// if it passes as it is. A thread's directory, task/<tid>, holds the same files
// as its process's.
func For(path []string) Func {
	if len(path) > 2 && path[0] == "task" {
		path = path[2:]
	}
	switch len(path) {
	case 1:
		switch path[0] {
		case "stat":
			return Stat
		case "statm":
			return Statm
		case "status":
			return Status
		case "cgroup":
			return Cgroup
		case "children":
			return Children
		case "sched":
			return Sched
		case "timers":
			return Timers
		}
	case 2:
		if path[0] == "fdinfo" {
			return Fdinfo
		}
	}
	return nil
}
