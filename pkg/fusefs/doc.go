// Package fusefs serves any vfs tree as a FUSE mount of this machine. The device and the
// conversation on it are package device's; here is the file system: inodes, open files, and
// what the kernel may keep of them.
//
// # Model
//
// A [Server] serves one FUSE device, which it has mounted itself ([Mount]) or was given
// ([Serve]). Every inode of the kernel stands for one
// path (its parent's inode and a name) and the object found there; when the
// name comes to mean another object, a process that reuses a pid, it gets
// another inode, and whoever still holds the old one never meets a stranger.
//
// A mount is for one identity ([Config].Owner), and then the kernel may keep
// what the tree allows it to keep; or it is shared ([Config].Shared): every
// caller gets the tree of their own identity, and the kernel keeps nothing,
// since its caches know no users. A mount of one identity may be [Prefetched], or Whole. Each
// of the four is a mode.
//
// A device that was handed over is its user's as well, who can read requests from it and keep
// a write to it waiting without end. Its server has a [Notifier], and writes nothing but
// answers. When a server has gone, the next one goes on with the mount ([Resume]).
//
// # Freshness
//
// What the kernel keeps follows from the contract and nothing else:
// vfs.Attr.Keep and KeepName are the times of attributes and entries, and
// vfs.Missing.Keep is the time of a negative entry. Of a file's content it keeps nothing, but
// where a mode says so: each read(2) asks. An open file has the
// content that it was opened with until it is read from its start again; then it has the one of now,
// or ESRCH where its object has ended. Whatever the kernel reads
// by, the bytes are the same (see fileInode). A name that listings named and no longer
// name is dropped with all below it (see listed), so that the kernel's caches,
// and the inodes here, are those of what exists.
//
// # Failure
//
// Nothing hangs: package device ends each request at its deadline, and [Server.Stuck] counts
// the calls into the tree that go on all the same. A node id or file handle that is unknown,
// as those of a former server are, is ESTALE; to forget it, or to release it, is nothing. Too
// much open is ENFILE.
package fusefs
