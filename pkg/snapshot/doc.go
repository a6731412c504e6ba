// Package snapshot is the batch format between a leaf and a front end: the
// files wanted of every process of one node, in one answer, and then what changed.
//
// # Model
//
// A front end writes a [Request] into the leaf's rpc file and reads the answer
// to its end ([Fetch] does both). A [Server] makes the answers: it has a sweep of
// the node made by a [Producer], which puts the processes into a [Builder], and
// shares it among all requests that come in time.
//
// Both sides hold the same thing, a [Table]: one moment of one node, with native
// pids and the node's own clock, nothing rebased. A Table never changes. It keeps
// the records as they were on the wire, in a few large pieces that it shares with
// the table before it, and an index of eight bytes a process; nothing is allocated
// for a process or a file.
//
// Each state of a node has a number, its generation. A table knows of each record
// in which generation it became what it is, and which pids went in which. So it can
// answer anybody who names the generation they hold with what is new; a front end
// passes on what it holds by the same means.
//
// # Forms
//
// Files such as status have the same lines in every process, and most of their
// bytes are the names in them. The first such file of a node becomes a form; all
// others with as many lines are kept, and sent, as what differs from it.
//
// # Hostile bytes
//
// Both directions come from a network. Every length is checked against what is
// there before anything is allocated for it, and that of an answer against [Limits].
// What is wrong gives an [ErrFormat], never a panic.
//
// # Format
//
// All numbers are little endian, as in 9P. "str" is one byte of length and as
// many bytes. The content of a link, exe say, is its text.
//
// Request:
//
//	offset size
//	0      4    "agrq"
//	4      2    version, 3
//	6      2    flags; bit 0 says nothing (the answer may be compressed, which none
//	            is); bit 1: remember what is answered; bit 2: the node's figures, too,
//	            which only a leaf understands whose facts have its clock; bit 3: of one
//	            process alone; the rest 0
//	8      4    length of the request in bytes, these 32 included
//	12     8    generation held; 0 is none
//	20     8    how old the answer may be, ns
//	28     2    number of files, 1 to MaxFiles; with bit 2 also 0: the figures alone
//	30     2    0
//	32          as many str: the names, relative to a process directory
//	       8    with bit 2: the number of the figures held; 0 is none
//	       4    with bit 3: the pid
//
// A name task/* or task/*/<file> asks for the directories, or for a file, of all threads
// of a process. Its content is, for each:
//
//	4    tid
//	4    length of what follows in bytes, with bit 31 set an errno in place of it
//	     a file's content; or of a directory 8 ID in the leaf's main tree, 4+4 uid and
//	     gid, 4 mode, 4 link count, 8 mtime, ns since 1970
//
// Answer, header:
//
//	offset size
//	0      4    "agsn"
//	4      2    version, 3
//	6      2    flags; bit 0: there are figures; the rest 0
//	8      4    length of the body in bytes
//	12     4    the same
//	16     8    generation; 0 is one that cannot be asked about
//	24     8    generation that the answer is the difference to; 0: it is the whole
//	32          the body; to a request of no files it is the figures
//
// Answer, body:
//
//	2    length of the facts in bytes; what follows those known is ignored
//	       8   boot time, ns since 1970
//	       4   clock ticks a second (USER_HZ)
//	       4   page size in bytes
//	       4   pid_max
//	       str boot id, str release, str host name, str version of procsrv
//	       8   how long the answer may be cached, ns; 0: as its reader sees fit
//	       4   hidepid= of the procfs: 0, 1, 2 or 4; see proc(5)
//	       4   gid= of the procfs
//	       8   age: how long before it was sent the sweep began, ns
//	       2   errno for which processes are missing, 0 for none; may be left out
//	       8   CLOCK_MONOTONIC when the sweep began, ns; may be left out
//	     with bit 0 of the flags:
//	4    length of the figures in bytes, and then the figures
//	     in the whole alone:
//	2    number of files, then as many str: the names as in the request
//	2    number of names in a process directory, then for each 4 mode, see inode(7),
//	     and str; the same for a thread's directory
//	     in both:
//	     for each file, 1 number of forms that are new, and for each 2 its length and
//	     its bytes
//	4    number of processes that exist but were not visited, or not their stat
//	4    number of processes that are gone; in the whole 0
//	4    number of records
//	     the pids gone, 4 each, rising
//
// Figures, where a varint is that of encoding/binary, zigzag:
//
//	8    their number
//	8    the number of those that they are the difference to; 0: they are whole
//	1    number of groups, then for each
//	       1   0: it is whole; 1: its values are a difference
//	       str its name
//	     where it is whole:
//	       1   number of fields, then as many str
//	       2   number of rows, then as many str
//	           a varint for each field of each row
//	     where it is not:
//	           a bit for each value, the lowest of the first byte first, set where it differs;
//	           then for each of these a varint, what is to be added
//
// Then the records, by rising pid, and nothing behind them. In a difference they
// are those of processes that are new or have changed:
//
//	4    pid, 1 to 2147483647
//	8    ID of /<pid> in the leaf's main tree
//	4+4  uid, gid of the process directory
//	4    mode, see inode(7)
//	4    link count
//	8    mtime of the process directory, ns since 1970
//	4+4  uid, gid of the files in it; 4294967295 is not known
//	4    flags; bit 0: its owner has ptrace read access to it, see Proc.OwnerReads;
//	     the rest 0
//	     then for each file, in the order of the names:
//	4    length of the content in bytes, and then the content;
//	     with bit 30 set, the length of the content as it differs from a form;
//	     with bit 31 set an errno (1 to 4095) in place of the content
//
// Content that differs from a form:
//
//	1    which form of the file
//	     a bit for each line of the form, the lowest of the first byte first, set
//	     where the line differs; then for each of these lines
//	1    bytes at its start that are the form's line's
//	1    bytes at its end that are the form's line's
//	1    bytes between, and then those bytes
package snapshot
