// Package snapshot is the batch format between a leaf and a front end: the
// files wanted of every process of one node, in one answer.
//
// # Model
//
// A front end writes a [Request] into the leaf's rpc file and reads the answer
// to its end ([Fetch] does both). The leaf builds the answer in one buffer
// ([Builder]); the front end turns it into a [Table], which keeps the bytes as
// they came, one arena, and an index of four bytes a process. Nothing else is
// allocated per process or file, and what a Table hands out aliases the arena.
//
// A Table never changes. It is a statement of one moment of one node: native
// pids, the node's own clock, nothing rebased.
//
// # Hostile bytes
//
// Both directions come from a network. Every length is checked against what is
// there before anything is allocated for it, and the size that a compressed
// answer claims is checked against [Limits] before it is decompressed. What is
// wrong gives an [ErrFormat], never a panic.
//
// # Format
//
// All numbers are little endian, as in 9P. "str" is one byte of length and as
// many bytes.
//
// The content of a link, exe say, is its text.
//
// Request:
//
//	offset size
//	0      4    "agrq"
//	4      2    version, 2
//	6      2    flags; bit 0: the answer may be compressed; the rest 0
//	8      4    length of the request in bytes, these 24 included
//	12     8    generation held; 0 is none
//	20     2    number of files, 1 to MaxFiles
//	22     2    0
//	24          as many str: the names, relative to a process directory
//
// Answer, header:
//
//	offset size
//	0      4    "agsn"
//	4      2    version, 2
//	6      2    flags; bit 0: the body is one zstd frame (RFC 8878); the rest 0
//	8      4    length of the body as sent, in bytes
//	12     4    length of the body decompressed; equal to the one before
//	            where bit 0 is not set
//	16     8    generation; 0 is none
//	24          the body
//
// Answer, body:
//
//	2    length of the facts in bytes; what follows those known is ignored
//	       8   boot time, ns since 1970
//	       4   clock ticks a second (USER_HZ)
//	       4   page size in bytes
//	       4   pid_max
//	       str boot id, str release, str host name, str version of procsrv
//	       8   how long the answer may be kept, ns; 0: as its reader sees fit
//	       4   hidepid= of the procfs: 0, 1, 2 or 4; see proc(5)
//	       4   gid= of the procfs
//	2    number of files, then as many str: the names as in the request
//	4    number of processes that exist but could not be visited in time
//	4    number of records
//
// Then the records, by rising pid, and nothing behind them:
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
//	     or with bit 31 set an errno (1 to 4095) in place of the content
package snapshot
