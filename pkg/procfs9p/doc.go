// Package procfs9p is the leaf: the /proc of a node as a vfs tree.
//
// # Three trees
//
// Attach name "" is the node's /proc as it is, less what is never exported
// (File.Hidden of package procfile says what and why). Attach name "snapshot" holds one rpc file,
// "sweep": open it, write a snapshot.Request, read the answer to its end. The
// sweep starts at the first read after the write, and requests for the
// same files while one runs share it. Attach name "readahead" is the same for any requester,
// whose rights the files are read with (readahead.go); nothing is shared there.
//
// Everything is read-only and nothing leaves procfs: each open is relative to
// a directory that is held, by openat2(2) with RESOLVE_BENEATH,
// RESOLVE_NO_SYMLINKS, RESOLVE_NO_MAGICLINKS and RESOLVE_NO_XDEV. What is
// mounted below the procfs does not exist. Links are given as text and never
// followed; "self" and "thread-self" name the node's pid 1, as no process of
// the node is reading.
//
// # Whose process
//
// A node below /<pid> belongs to the process that it was walked for. Each
// operation opens the process directory anew, compares who it is (registry.go)
// and then works relative to that file descriptor, which the kernel binds to
// the one process: a process that reuses the pid is never answered for. To open
// and compare costs 2.7 µs of the 11 that a file takes (BenchmarkOpenProcess);
// directories kept open instead would save that, and pin an inode and a
// descriptor for each process of the node.
//
// # Whose rights
//
// The kernel decides. For the superuser the leaf reads with its own rights; for
// everyone else the system calls of an operation are made as that identity, on a
// thread that has its effective ids, its groups and no capability in effect
// (package lend). Nothing is decided here but what the kernel cannot be asked: what
// belongs to a reader beyond these (File.OwnAlone of package procfile) and who may see what of
// the leaf's own process (ownprocess.go).
//
// A snapshot is as root sees the node. It says of each process whether its owner
// sees the same (ownership), and from whom the procfs hides processes
// (facts.go), so that a front end can give out what it holds.
//
// # What blocks
//
// Reading a process's memory map or arguments takes that process's locks, and a
// page of its memory may be long in coming. Such a read can be left behind
// (guard.go): the caller gets ETIMEDOUT after Config.ReadTimeout, that process's
// further reads of the kind get it at once for as long as the first is stuck, and
// the number of those left behind is bounded. A read for a Tlopen of package ninep
// is made where the request is, which can go on without it (exposed.go); any other
// by a goroutine of its own (apart.go). The goroutine costs 0.7 µs (BenchmarkApart)
// and, where another processor is idle, the waking of it, which was 30 µs on a
// virtual machine of two processors. Files that take no such
// lock are read in place. A page of a process's arguments that lies in a mapped
// file is refused by the kernel since Linux 4.17 (FOLL_ANON in mm/gup.c) and
// does not block.
//
// # Freshness
//
// Nothing may be cached: every Keep is zero. A file is read whole when it is
// opened.
package procfs9p
