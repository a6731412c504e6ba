package vfs

// What an object holds in memory, for fronts that bound what a client can make
// them hold. All are optional: who implements none holds next to nothing, but for
// a [Held], whose content counts anyway.

// A Weighty is a node that holds memory of its own, beside its name and some
// hundred bytes.
type Weighty interface {
	Node
	// Weight is about how many bytes that is. It does no I/O and does not change.
	Weight() int64
}

// A Holder is something open, a [Handle] or a [DirHandle], that holds memory: the
// entries of a directory, an answer.
type Holder interface {
	// Holds is about how many bytes it holds now. It does no I/O, and may be
	// called concurrently with all but Close.
	Holds() int64
	// Forget lets go of them: what is read afterwards is made anew, or fails where it
	// would be another's rest. It may be called concurrently with all but Close.
	Forget()
}

// A Vacant is the root of a tree that may have nothing in it for the identity that
// it was attached for, but what says who that is.
type Vacant interface {
	Node
	// Vacant reports whether that is so now. It does no I/O.
	Vacant() bool
}

// entrySize is what an entry takes in memory, in bytes, beside its name.
const entrySize = 48

// weightOf is what entries take in memory, in bytes.
func weightOf(all []DirEntry) int64 {
	n := int64(cap(all)) * entrySize
	for i := range all {
		n += int64(len(all[i].Name))
	}
	return n
}
