package snapshot

import (
	"encoding/binary"
	"iter"
	"strings"
	"syscall"
)

// ThreadDirs is the name in a request that stands for the directories of all threads of a
// process, and with a slash and a name behind it for that file of all of them. The content is
// made of [Thread]s, by rising tid as the kernel lists them; that of ThreadDirs is a
// [ThreadDir] each. A leaf that does not know such names has no file of that name.
const ThreadDirs = "task/*"

// ThreadFile is the name in a thread's directory that a name in a request stands for: "" is the
// directory itself.
func ThreadFile(file string) (name string, ok bool) {
	name, ok = strings.CutPrefix(file, ThreadDirs)
	if !ok || name == "" {
		return "", ok
	}
	return strings.CutPrefix(name, "/")
}

// A Thread is one of a process's threads, and a file of it or why there is none.
type Thread struct {
	TID     int32
	Content []byte
	Errno   syscall.Errno
}

// threadFixed is the size of a Thread before the content, in bytes.
const threadFixed = 8

// Append appends t as it is in a content.
func (t Thread) Append(b []byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(t.TID))
	if t.Errno != 0 {
		return binary.LittleEndian.AppendUint32(b, errnoBit|min(uint32(t.Errno), maxErrno))
	}
	b = binary.LittleEndian.AppendUint32(b, uint32(len(t.Content)))
	return append(b, t.Content...)
}

// Threads are those in a content, up to what is none. They are parts of it.
func Threads(content []byte) iter.Seq[Thread] {
	return func(yield func(Thread) bool) {
		for len(content) >= threadFixed {
			t := Thread{TID: int32(binary.LittleEndian.Uint32(content))}
			word := binary.LittleEndian.Uint32(content[4:])
			content = content[threadFixed:]
			if word&errnoBit != 0 {
				if t.Errno = syscall.Errno(word &^ errnoBit); t.Errno == 0 || t.Errno > maxErrno {
					t.Errno = syscall.EIO
				}
			} else if int64(word) > int64(len(content)) {
				return
			} else {
				t.Content, content = content[:word:word], content[word:]
			}
			if t.TID <= 0 || !yield(t) {
				return
			}
		}
	}
}

// A ThreadDir is what is known of a thread's directory.
type ThreadDir struct {
	ID       uint64 // the Node.ID of task/<tid> in the leaf's main tree
	UID, GID uint32
	Mode     uint32 // see inode(7)
	Nlink    uint32
	Mtime    int64 // ns since 1970
}

// ThreadDirSize is the size of a ThreadDir, in bytes.
const ThreadDirSize = 32

// Append appends d as it is in a content.
func (d ThreadDir) Append(b []byte) []byte {
	le := binary.LittleEndian
	b = le.AppendUint64(b, d.ID)
	for _, n := range []uint32{d.UID, d.GID, d.Mode, d.Nlink} {
		b = le.AppendUint32(b, n)
	}
	return le.AppendUint64(b, uint64(d.Mtime))
}

// ParseThreadDir reads what Append wrote.
func ParseThreadDir(b []byte) (d ThreadDir, ok bool) {
	if len(b) != ThreadDirSize {
		return d, false
	}
	le := binary.LittleEndian
	return ThreadDir{
		ID: le.Uint64(b), UID: le.Uint32(b[8:]), GID: le.Uint32(b[12:]), Mode: le.Uint32(b[16:]), Nlink: le.Uint32(b[20:]), Mtime: int64(le.Uint64(b[24:])),
	}, true
}
