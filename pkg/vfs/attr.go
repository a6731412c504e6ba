package vfs

import "time"

// Type is the file type bits of st_mode, see inode(7).
type Type uint32

// The types that a tree can hold.
const (
	TypeDir  Type = 0o040000
	TypeFile Type = 0o100000
	TypeLink Type = 0o120000
	// TypeMask selects the type bits of a mode.
	TypeMask = 0o170000
)

// Attr is what stat(2) says of a node.
type Attr struct {
	ID    uint64 // as Node.ID
	Mode  uint32 // type and permission bits, see inode(7)
	UID   uint32
	GID   uint32
	Nlink uint32
	Size  uint64 // bytes; 0 where it is not known before the file is opened, as in procfs
	Atime time.Time
	Mtime time.Time
	Ctime time.Time

	// Keep is the TTL of these attributes and of the name that led to them: how long
	// they may be used again without asking; zero is not at all.
	Keep time.Duration
	// KeepName is the same for the name alone, where it is known for longer
	// than the attributes are. A shorter one than Keep means nothing.
	KeepName time.Duration
}

// A Previewer is a node whose attributes may cost an exchange. Preview says at
// once, without one, what is known of a node that was just walked to: the type
// and ID are true; the rest is true for Keep, and a guess where Keep is zero,
// as it may be for a node that merely exists for certain. A front that only has
// to enter the name somewhere takes the preview; who wants the attributes calls
// Attr.
type Previewer interface {
	Preview() Attr
}

// A Stater is a file that can name its state without making its content: while State
// says the same, content and attributes (but for Keep) are what they were. Not ok is
// a file that does not know; then it must be read to be compared.
type Stater interface {
	State() (state uint64, ok bool)
}

// Type is the type in a's mode.
func (a Attr) Type() Type { return Type(a.Mode & TypeMask) }
