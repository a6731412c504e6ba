// Package procsim simulates nodes: any number of them in one process, each with a
// /proc of processes that look like those of a compute node, behind the same 9P server
// and the same snapshot code as a real leaf's. It is for measuring how a front end
// scales; what a kernel does is tried on kernels.
//
// A [Node] is made from a seed: the same seed makes the same processes. [Node.Churn]
// lets some of them run on, end and start; those of a frozen node only run on, and a node can
// say which of its processes have lived since a mark. The texts of the files that sweeps bring are
// made when a process changes, as a kernel has the numbers at hand; answers are made for
// each request.
//
// The sizes and shapes are those of Linux 6.1 on x86-64: a status of 1,150 bytes (700
// of a kernel thread), a stat of 200 to 330, argument lists of 20 to 200.
//
// A [Cluster] serves nodes on unix sockets in a directory, one each, and can make some of
// them fail: hang, die in mid-answer, answer garbage. It can change by itself ([Cluster.Live]).
package procsim
