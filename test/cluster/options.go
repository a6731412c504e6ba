package cluster

import (
	"fmt"
	"time"

	"github.com/aggrfs/aggrfs/test/cluster/control"
)

// Options say what to start.
type Options struct {
	Nodes       int      // how many; they are called n1, n2, ...
	ProcsrvPath string   // the program of the leaf
	ProcsrvArgs []string // its arguments besides the address
	// InitPath is nodeinit, as BuildInit has built it; "" is that it is built for this cluster.
	InitPath string
	// Dir is where the nodes' root directories go: a directory that exists, of
	// which a new subdirectory is used; "" is that for temporary files.
	Dir string
	// Workload is what runs on a node besides procsrv; nil is DefaultWorkload.
	Workload func(name string) []Process
	// ProcOptions are those of the nodes' procfs: "hidepid=2".
	ProcOptions string
	// Many is how many idle processes each node has in addition.
	Many int
}

// A Process is one of a node's workload.
type Process = control.Spawn

// Users of the workload. They need no entry in the user database.
const (
	Alice uint32 = 1001
	Bob   uint32 = 1002
)

// DefaultWorkload is a few processes that tell where and whose they are: a
// parent with children, one with several threads, one with a nasty name.
func DefaultWorkload(name string) []Process {
	job := fmt.Sprintf("sleep 100000 & sleep 100001 & sh -c 'sleep 100002 & wait; : step' & wait; : job of alice on %s", name)
	return []Process{
		{Argv: []string{"sleep", "200000"}},
		{UID: 1, GID: 1, Argv: []string{"sleep", "300000"}},
		{UID: Alice, GID: Alice, Argv: []string{"sh", "-c", job}},
		{UID: Bob, GID: Bob, Role: control.RoleThreads, Argv: []string{"solver", "--user", "bob", "--node", name}},
		{UID: Bob, GID: Bob, Role: control.RoleNasty, Argv: []string{"nasty", "a\nb", "\x1b[31mred", "(c) d)", name}},
	}
}

// bootOffset is how much longer than the host a node has been up.
func bootOffset(i int) time.Duration { return time.Duration(i+1) * (76*time.Hour + 61*time.Second) }

// Deadlines.
const (
	startDeadline = 60 * time.Second // for a node to be up; thousands of processes take their time
	callDeadline  = 10 * time.Second // for the init to answer
	endDeadline   = 20 * time.Second // for a node's processes to end
)
