// Package proctable asks each node of a cluster for its processes, and has them as tables.
//
// A [Node] is an upstream and its last [Table]: the processes of the node with the files that
// the policy has prefetched, brought by one snapshot. A table never changes; a newer one takes
// its place as a whole. Sweeps bring tables, to all who wait for one at once; a [Roster] is
// what a listing shows of a table, checked against the node's own list of pids; read-ahead
// brings one more file of all processes at once to who reads it process after process.
//
// # Freshness
//
// A table is good for the policy's time (Policy.Table), and for as long as its session lives.
// While the node does not answer, the last table is shown as stale for as long as the policy
// says (Policy.StaleTable); see roster.go.
//
// # Visibility
//
// A table holds what the front end's reader, root, reads. [Node.Visibility] says in which
// form somebody else may be given it: full, masked as for other users, or not at all, and then
// the node's kernel is asked.
//
// # Concurrency
//
// Everything exported may be used concurrently. Lock order: upstream's
// of a node, then the node's here, then those of the store and of gpids. Each mutex guards the
// fields named beside it and is never held over an exchange.
package proctable
