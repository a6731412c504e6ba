// Package tree is the merged tree of a cluster as a vfs.Tree: what a front serves.
//
// Attaching yields a root for one identity's view:
//
//	<gpid>/  <node>:<pid>/   every process of the view, pids rewritten
//	self  thread-self        the reader's own process, see inside.go, or links into the native procfs
//	stat meminfo ...         sums over the nodes, see package procfile
//	nodes/<node>/            that node's /proc whole, nothing rewritten
//	sets/<nodeset>/          the same root limited to a nodeset
//	users/<user>/            the same root limited to one user's processes
//	cluster/                 tables about the cluster
//
// and everything else of a /proc root as links into the reader's native one.
//
// Listing a root means that a sweep is coming (ps, top), so it asks every node of the view for
// a table, all at once. The files that tables have are served from them; everything else is
// read from its node at each open, as the identity that asks, unless the policy lets it be
// cached. "It is not in the table" is never an answer: a name that the table lacks is asked for
// at the node.
//
// # Identity of a process
//
// A node of the tree is bound to a process, not to a pid: it remembers the leaf's number for
// the process directory, which differs from process to process, and checks it on every
// exchange. A pid that was reused is ESRCH.
//
// Everything exported may be used concurrently.
package tree
