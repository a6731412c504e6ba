// Package vfstest is what trees and fronts are tested with.
//
// # The conformance suite
//
// [TestTree] runs any tree through every sentence of package vfs that can be
// checked from outside: types and attributes agree, ids are unique and stable,
// listings resume at every entry, content is fixed at open, calls end with
// their context, nodes never answer for a stranger. [TestMount] does the same
// to a directory of a mounted file system by system calls alone, so that one
// suite holds for the leaf, the aggregate, a 9P client and a FUSE mount. A tree
// that lives (processes come and go) is looked at within [Options]: what to
// leave out, and how much to visit.
//
// # The tree to test fronts with
//
// [Tree] is a tree in memory that a test builds by path and changes while it
// is served:
//
//	tree := vfstest.NewTree()
//	tree.Put("1/stat", vfstest.File{Data: []byte("1 (init) S"), Hold: time.Second})
//	tree.Put("1/maps", vfstest.File{Read: vfstest.Counter("v%d\n")})
//	tree.Put("self", vfstest.Link{Target: "1"})
//	tree.Put("sweep", vfstest.File{RPC: answer})
//	tree.Remove("1")
//
// What a front must not do (walk a name that is no element, close twice, use
// what it closed) is noted, not forgiven: [Tree.Violations] lists it, and
// [Tree.Handles] counts what is still open. [Tree.Before] is called ahead of
// every operation and can fail it, block it ([Block]), make it deaf to its
// context ([Deaf]) or panic.
package vfstest
