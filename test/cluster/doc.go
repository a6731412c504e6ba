// Package cluster starts real nodes on this machine, for tests and for
// demonstrations.
//
// # Model
//
// A node has pid, mount, UTS and time namespaces of its own. Its root directory
// is a directory of the host with the host's programs bound into it read-only;
// its /proc, /run and /tmp are its own. Its first process is the command
// nodeinit, which starts a procsrv and some processes under several users. Its
// clock CLOCK_BOOTTIME runs ahead of the host's by a time of its own, so that
// it seems to have been booted at another moment.
//
// Network, IPC and user namespaces, and the load, memory and processors that
// /proc shows, are the host's.
//
// procsrv listens on a unix socket below the root directory, which the host
// reaches as a file: [Node.Socket].
//
// # How it ends
//
// [Cluster.Close] ends the init of every node, with which the kernel ends all
// its processes and drops its mounts, and removes the directories. The same
// end, but for the directories, comes when the process that started the nodes
// dies, however it dies: the init reads from a pipe that only that process
// holds. Nodes do not get the signals of the starter's terminal.
//
// It needs root and the programs unshare and nsenter of util-linux 2.36 or
// later (time namespaces), and the Go tool, which builds nodeinit.
package cluster
