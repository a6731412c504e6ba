// Package clusterdir is cluster/: the tables about a cluster, as files of its tree.
//
// Package report has their rows and texts; this package makes the rows, for one view, of what
// is known of the nodes.
package clusterdir
