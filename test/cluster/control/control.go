// Package control is what package cluster and the init of a node say to each
// other, one JSON value a message, over the init's standard input and output:
// a Config first, then a Reply, then any number of a Request and its Reply.
// End of file on its standard input ends the init, and the node with it.
package control

import "syscall"

// A Config is what the init makes of its namespaces.
type Config struct {
	Name    string   // host name
	Root    string   // directory that becomes the node's root
	Procsrv string   // program of the leaf, on the host
	Leaf    []string // its arguments
	Start   []Spawn  // processes that the node starts with
	Many    int      // so many more that do nothing
	Proc    string   // options of its procfs, as "hidepid=2", see proc(5)
}

// The paths of files bound into the node, as seen there.
const (
	ProcsrvPath = "/opt/procsrv"
	InitPath    = "/opt/nodeinit"
	LogPath     = "/run/procsrv.log"
)

// A Spawn is a process to start.
type Spawn struct {
	UID  uint32
	GID  uint32
	Path string   // "" is Argv[0], looked up in /usr/bin
	Argv []string // the arguments, the name first
	Role string   // what InitPath is to do instead of being an init, see RoleVariable
}

// RoleVariable is the environment variable that makes the init's program
// something else: a process with RoleThreads or RoleNasty.
const (
	RoleVariable = "NODEINIT_ROLE"
	RoleThreads  = "threads"  // several named threads
	RoleNasty    = "nasty"    // a name that breaks tables
	RoleUndumped = "undumped" // not dumpable, see prctl(2)
	RoleZombie   = "zombie"   // with a child that has ended
	RoleBoxed    = "boxed"    // with a child in a user namespace
	// RoleSurvey prints what a /proc shows to it: a survey.Request in
	// SurveyVariable, JSON entries to standard output.
	RoleSurvey     = "survey"
	SurveyVariable = "NODEINIT_SURVEY"
	// RoleRoam makes a survey.Roam, in SurveyVariable too, and prints a JSON list
	// of what should not have been.
	RoleRoam = "roam"
)

// NastyName is the comm of a RoleNasty process: it looks like the end of comm
// in stat, like another row, and colours a terminal.
const NastyName = "x) R 1\n\x1b[31m(\\"

// An Op is what a Request asks for.
type Op string

// What the init does on request.
const (
	OpSpawn     Op = "spawn"      // start a process
	OpSignal    Op = "signal"     // send a signal to a process and, if it is SIGKILL, wait for its end
	OpStartLeaf Op = "start-leaf" // start procsrv, which must not run
)

// A Request is one thing to do.
type Request struct {
	Op     Op
	Spawn  Spawn
	PID    int // native pid, for OpSignal; 0 is procsrv's
	Signal syscall.Signal
}

// A Reply answers a Config or a Request.
type Reply struct {
	PID   int    // native pid of what was started
	Leaf  int    // native pid of procsrv, 0 while it does not run
	Error string // "" is done
}
