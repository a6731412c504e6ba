// Package aggregate merges the /proc of many nodes into one tree.
//
// A [Cluster] knows a set of nodes; node 0 is the head node, the machine it runs on. It is
// itself a vfs.Tree. The package is the front of the rooms below it, each of which knows only
// those before:
//
//	gpid       numbers processes
//	upstream   keeps one node connected and makes exchanges with it
//	proctable  has the processes of each node: tables, sweeps, visibility, read-ahead
//	listing    remembers what the readers of mounts were listed
//	view       says what exists for whom
//	remote     what nodes have, as vfs nodes
//	synthetic  what no node has
//	report     what cluster/ shows, as rows and as text
//	clusterdir makes the tables of cluster/, whose rows and texts are in report
//	tree       the merged tree that is made of all of them
//
// A node that does not answer costs its own rows and no more; /cluster/nodes says which nodes
// those are. Everything exported may be used concurrently.
package aggregate
