// Package vfs is the one contract of the project: what a tree of files is to
// those who serve it (9P, FUSE) and to those who make it (the leaf, the
// aggregate, a 9P client).
//
// # Model
//
// A [Tree] is attached by an [Identity] and an attach name; what comes back is
// the root [Node] as that identity sees it. From there on the identity is part
// of every node: nothing that a node answers may depend on other requesters.
//
// A node is a handle on one object, a directory ([Dir]), a regular file
// ([File]) or a symbolic link ([Link]); which of them it implements follows
// from the type in its [Attr]. Nodes hold no resources and need no closing. A
// node may outlive its object: then its methods fail with ENOENT or ESRCH, and
// never answer for another object that took the name since (a process that
// reuses a pid).
//
// A file's content is fixed when it is opened: every read of one open file
// sees the same bytes, however the object changes meanwhile. What is open is a
// resource and must be closed. (To a program that goes back to the start of a
// file that it keeps open, as top does with /proc/stat, procfs gives the file as
// it is now; a front does the same by opening it anew.)
//
// # Freshness
//
// Each answer says for how long it may be used again without asking
// ([Attr].Keep, [Held].Keep), its TTL; zero means that it must not be cached.
// A front translates it into what its protocol has.
//
// # Failure
//
// Every call takes a context and ends soon after it does. Errors speak Linux
// errno; [Errno] finds it in any error and is the only place that decides it.
//
// # Concurrency
//
// All methods of Tree, Node, Dir, File and Link may be called concurrently.
// Methods of one Handle or DirHandle may be called concurrently too, except
// Close, which comes last and once.
package vfs

import (
	"context"
	"time"
)

// A Tree is what is served and what serves.
type Tree interface {
	// Attach returns the root of the tree that aname names ("" is the main
	// one), as who may see it. An unknown aname is ENOENT, an identity that may
	// not attach is EACCES.
	Attach(ctx context.Context, who Identity, aname string) (Node, error)
}

// A Node is one object of a tree as one identity sees it.
type Node interface {
	// ID is the object's number: unique within its tree among the objects that
	// exist, the same for all identities and for as long as the object exists,
	// never zero. It does no I/O.
	ID() uint64
	// Type is the object's type, one of the Type constants. It does no I/O.
	Type() Type
	// Attr returns what stat(2) would say.
	Attr(ctx context.Context) (Attr, error)
}

// A Dir is a directory.
type Dir interface {
	Node
	// Walk returns the entry of that name. The caller has made sure that name
	// is an element as [ValidName] has it. A name that does not exist is
	// ENOENT; where that answer may be cached the error is a [Missing].
	Walk(ctx context.Context, name string) (Node, error)
	// List opens the directory for reading.
	List(ctx context.Context) (DirHandle, error)
}

// A File is a regular file.
type File interface {
	Node
	// Open opens the file for reading; its content is fixed from here on.
	// A handle that also implements [Writer] takes writes (rpc files do).
	Open(ctx context.Context) (Handle, error)
}

// A Link is a symbolic link.
type Link interface {
	Node
	// Readlink returns the link's text, not resolved and not rewritten.
	Readlink(ctx context.Context) (string, error)
}

// A Followed is a link whose text is for reading: where a path leads through it, it leads elsewhere,
// as the links in procfs do (exe, cwd). A front that can tell the one from the other asks it.
type Followed interface {
	Link
	// Follow returns the text for a path that leads through the link. If that is not known, it is
	// the text that does the least harm to either.
	Follow(ctx context.Context, known bool) (string, error)
}

// A StandIn is a link that leads out of the tree, to something of the reader's own
// machine, and that knows what is nearest to it in the tree: for protocols that
// have no links.
type StandIn interface {
	Link
	// StandIn returns that node; ENOENT if there is none.
	StandIn(ctx context.Context) (Node, error)
}

// A MountPoint is a directory of a root that something may be mounted on, in a mount of the tree.
// A kernel takes away what is mounted on a name that comes to mean another object: so a front
// gives it the same number for as long as the mount lasts, whoever serves it.
type MountPoint interface {
	Dir
	MountPoint()
}

// A Handle is an open file.
type Handle interface {
	// ReadAt fills p with the bytes from off on and says how many there were:
	// fewer than len(p) only at the end of the file, which is no error.
	ReadAt(ctx context.Context, p []byte, off int64) (int, error)
	// Close releases what the open file holds.
	Close() error
}

// A Stream is a handle whose content comes as it happens and has no end: a read waits for more, and
// nobody reads it to learn how long it is.
type Stream interface {
	Handle
	Stream()
}

// A Writer is a handle that takes writes.
type Writer interface {
	// WriteAt writes p at off and says how much was taken.
	WriteAt(ctx context.Context, p []byte, off int64) (int, error)
}

// Held is a handle whose whole content is in memory.
type Held interface {
	Handle
	// Content is the file, never to be changed by whoever gets it, and not to be looked
	// at after Close.
	Content() []byte
	// Version tells contents of one file apart: two opens with the same
	// version have the same bytes. Zero means unknown.
	Version() uint64
	// Keep is the content's TTL: how long it may be given out again without opening
	// the file anew; zero is not at all.
	Keep() time.Duration
}

// A DirHandle is a directory being read.
type DirHandle interface {
	// ReadDir appends to dst at most max entries that come after offset, and
	// returns the longer slice; nothing appended means the end. Offset 0 is the
	// start and reads the directory anew; any other offset is the Next of an
	// entry got from a handle of this directory, and resumes behind that entry
	// whatever came and went meanwhile. "." and ".." are not listed.
	ReadDir(ctx context.Context, offset uint64, dst []DirEntry, max int) ([]DirEntry, error)
	// Close releases what the open directory holds.
	Close() error
}

// A DirEntry is one name of a directory.
type DirEntry struct {
	Name string
	ID   uint64
	Type Type
	// Next is the offset at which reading goes on behind this entry, never 0.
	// It grows from entry to entry.
	Next uint64
}
