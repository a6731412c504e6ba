package report

import "time"

// A Node is a row of cluster/nodes: how a node is.
type Node struct {
	Name     string  `column:"NODE,required"`
	Index    int     `column:"INDEX"`    // by which its gpids are told
	State    string  `column:"STATE"`    // "up", "silent", "down" or "connecting"
	Answered Age     `column:"ANSWERED"` // since it last answered; zero is never
	Latency  Latency `column:"LATENCY"`  // of that answer
	// Procs is how many processes of the view a listing would find now; nil is that it would
	// lack them.
	Procs *uint64 `column:"PROCS"`
	// Missed is how many answers had to do without the node, or with old values of it; nil is
	// that an older front end does not count.
	Missed  *uint64   `column:"MISSED"`
	Booted  time.Time `column:"BOOTED"`
	Version string    `column:"VERSION"` // of its leaf
	// Stale is how old the rows are that are shown of it, or how long ago another old value
	// was, since it did not answer; zero is never.
	Stale Age `column:"STALE"`
	// Load is of the last minute; CPU and Mem are how much of the processors' time, since the sample
	// before, and of the memory is used, in percent. Nil is not known.
	Load    *float64 `column:"LOAD"`
	CPU     *float64 `column:"%CPU"`
	Mem     *float64 `column:"%MEM"`
	Address string   `column:"ADDRESS"`
	Problem string   `column:"ERROR"` // what is wrong with it
}

// StateUp is the state of a node that answers.
const StateUp = "up"

// EncodeNodes writes cluster/nodes.
func EncodeNodes(rows []Node) []byte { return encode(rows...) }

// ParseNodes reads cluster/nodes.
func ParseNodes(text []byte) ([]Node, error) {
	rows, _, err := readAll[Node]("cluster/nodes", text)
	return rows, err
}

// Remark is what a sweep of now would lack of the node's processes, if anything. A front end
// that does not count what was missed is older, and its number of processes says less.
func (n *Node) Remark() (r Remark, lacks bool) {
	up, counted := n.State == StateUp, n.Missed != nil
	switch {
	case n.Procs == nil, !up && !counted:
		return Remark{Kind: Missing, Node: n.Name, Reason: n.reason()}, true
	case !up || counted && n.Stale != 0:
		return Remark{Kind: Stale, Node: n.Name, Age: n.Stale}, true
	case counted && n.Problem != "":
		return Remark{Kind: Lacking, Node: n.Name, Reason: n.Problem}, true
	}
	return r, false
}

// reason is why the node's processes are not known.
func (n *Node) reason() string {
	switch {
	case n.Problem == "":
		return n.State
	case n.State == StateUp:
		return n.Problem
	}
	return n.State + ": " + n.Problem
}
