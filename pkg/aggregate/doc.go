// Package aggregate merges the /proc of many nodes into one tree.
//
// # Model
//
// A [Cluster] knows a set of nodes; node 0 is the head node, the machine it
// runs on. To each of them it keeps a connection (an [Upstream], which is a
// vfs tree), opened again whenever it ends, and of each it holds at most one
// table: the processes of the node with their prefetched files, brought by one
// snapshot exchange. The cluster is itself a vfs.Tree. Attaching yields a root
// for one identity's view:
//
//	<gpid>/  <node>:<pid>/   every process of the view, pids rewritten
//	self  thread-self        links into the reader's native procfs
//	stat meminfo ...         sums over the nodes, see package sums
//	nodes/<node>/            that node's /proc whole, nothing rewritten
//	sets/<nodeset>/          the same root limited to a nodeset
//	users/<user>/            the same root limited to one user's processes
//	cluster/                 tables about the cluster
//
// and everything else of a /proc root as links into the reader's native one.
//
// # Freshness
//
// Listing a root means that a sweep is coming (ps, top), so it asks every node
// of the view for a snapshot, all at once. A table is good for Config.Keep;
// within that time the files it holds are served from it, for root. Everything
// else is read from its node at each open, as the identity that asks, and kept
// nowhere. "It is not in the table" is never an answer: a name that the table
// lacks is asked for at the node.
//
// # Failure
//
// A node that does not answer costs its own rows and no more. Each exchange has
// a deadline; the first that misses it has the node probed, and while a probe
// goes unanswered all further requests to the node fail at once with
// EHOSTDOWN. /cluster/nodes says which nodes those are.
//
// # Identity of a process
//
// A node object is bound to a process, not to a pid: it remembers the leaf's
// number for the process directory, which differs from process to process, and
// checks it on every exchange. A pid that was reused is ESRCH.
//
// # Concurrency
//
// Everything exported may be used concurrently. Tables are immutable and
// swapped whole. Lock order: none nests; each mutex guards the fields named
// beside it and is never held over an exchange.
package aggregate
