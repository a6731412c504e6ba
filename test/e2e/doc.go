// Package e2e holds the tests of the whole: real nodes in namespaces, the real
// programs aggrfs and procsrv, the kernel's FUSE, and the unmodified tools of
// procps and others on the merged tree. For each tool the oracle is the same
// tool run on the node itself.
package e2e
