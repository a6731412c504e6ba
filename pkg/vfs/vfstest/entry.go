package vfstest

import (
	"context"
	"slices"
	"time"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// An Entry is what [Tree.Put] puts: a [Dir], a [File] or a [Link].
type Entry interface {
	kind() vfs.Type
	stat() Stat
}

// Stat is what all entries have.
type Stat struct {
	Perm     uint32 // permission bits; 0 is 0555 for a directory, 0444 for a file, 0777 for a link
	UID, GID uint32
	Mtime    time.Time     // also atime and ctime
	Keep     time.Duration // vfs.Attr.Keep
	// Only names the users to whom the object exists; none is everyone. Root
	// is not exempt.
	Only []uint32
}

func (s Stat) stat() Stat { return s }
func (s Stat) visible(who vfs.Identity) bool {
	return len(s.Only) == 0 || slices.Contains(s.Only, who.UID)
}
func (s Stat) perm(otherwise uint32) uint32 {
	if s.Perm != 0 {
		return s.Perm
	}
	return otherwise
}

// A Dir is a directory.
type Dir struct {
	Stat
	MissingKeep time.Duration // how long "no such name" may be cached; 0 is a plain ENOENT
}

func (Dir) kind() vfs.Type { return vfs.TypeDir }

// A Link is a symbolic link.
type Link struct {
	Stat
	Target string
}

func (Link) kind() vfs.Type { return vfs.TypeLink }

// A File is a regular file. Its content is Data, or what Read returns at each
// open, or what RPC answers to what was written.
type File struct {
	Stat
	Data []byte
	// Read makes the content at open; the attributes' size is then 0.
	Read func(ctx context.Context, who vfs.Identity) ([]byte, error)
	// RPC makes a file that takes one request by writes and gives the answer
	// from the first read on.
	RPC func(ctx context.Context, who vfs.Identity, request []byte) ([]byte, error)

	// State is what the file says of itself as a vfs.Stater; 0 is that it does not know.
	State  uint64
	Hold   time.Duration // vfs.Held.Keep of what is opened
	Stream bool          // what is opened is no vfs.Held
	NoSize bool          // the size of Data shows as 0 in the attributes, as in procfs
}

func (File) kind() vfs.Type { return vfs.TypeFile }
