// Package view says what of a cluster exists for whom.
//
// A [View] is what one identity may see: which nodes, whose processes and which files. What is
// outside of it does not exist. The roots below sets/ and users/ are narrower views. The rules
// and allocations of internal/access decide; a view asks them anew at each request, so that one
// that was attached before an allocation ended has lost its nodes since. A [Viewer] is a view,
// or whoever else the objects of a tree are shown to. [Resolve] is the one way from a node and
// a pid to a process.
//
// Views may be used concurrently; they and what they return never change.
package view
