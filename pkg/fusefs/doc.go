// Package fusefs serves any vfs tree as a FUSE mount of this machine.
//
// # Model
//
// A [Server] serves one FUSE device. Every inode of the kernel stands for one
// path (its parent's inode and a name) and the object found there; when the
// name comes to mean another object, a process that reuses a pid, it gets
// another inode, and whoever still holds the old one never meets a stranger.
//
// A mount is for one identity ([Config].Owner), and then the kernel may keep
// what the tree allows it to keep; or it is shared ([Config].Shared): every
// caller gets the tree of their own identity, and the kernel keeps nothing,
// since its caches know no users.
//
// # Freshness
//
// What the kernel keeps follows from the contract and nothing else:
// vfs.Attr.Keep and KeepName are the times of attributes and entries,
// vfs.Missing.Keep is the time of a negative entry, and an open file that is a
// vfs.Held with Keep > 0 goes through the page cache (see pages). All else is
// direct I/O: each read(2) asks the tree. A name that listings named and no longer
// name is dropped with all below it (see listed), so that the kernel's caches,
// and the inodes here, are those of what exists.
//
// # Failure
//
// Nothing hangs. A request's context ends at its deadline and when the kernel
// tells that the caller was interrupted. A call into the tree that goes on all
// the same is answered for, with ETIMEDOUT, shortly after; its goroutine ends
// when the call does, what it brings is given back, and [Server.Stuck] counts
// it until then.
//
// # How a request travels
//
// The device loop (loop.go) reads a request, go-fuse decodes it and calls the
// method of fileSystem that answers it, on the same goroutine; the answer is
// one write. Most requests end sooner than another thread wakes, so the device
// is left alone meanwhile; a request that takes longer delays others by a
// millisecond or two, until the watch sends another reader (see post).
package fusefs
