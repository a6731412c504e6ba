// Package objectid makes the numbers of the objects of the merged tree (vfs.Node.ID): an
// FNV-1a hash over the way to the object, finished so that all bits depend on all. A process
// directory's number includes the leaf's own for the process, so that a reused pid is
// another object.
package objectid

// The parameters of FNV-1a, see draft-eastlake-fnv.
const (
	Offset = 14695981039346656037 // what a hash begins with
	prime  = 1099511628211
)

// Bare is the number of a root below which processes have the leaf's own numbers.
const Bare = 1

// Child is the number of the entry of that name in the directory with number
// parent.
func Child(parent uint64, name string) uint64 {
	h := uint64(Offset)
	h = Mix(h, parent)
	for i := range len(name) {
		h = (h ^ uint64(name[i])) * prime
	}
	return Finish(h)
}

// Process is the number of the directory of a process below parent.
func Process(parent uint64, index int, leaf uint64) uint64 {
	if parent == Bare {
		return leaf
	}
	return Finish(Mix(Mix(Mix(Offset, parent), uint64(index)), leaf))
}

// Mix adds a value to a hash.
func Mix(h, v uint64) uint64 {
	for range 8 {
		h = (h ^ v&0xff) * prime
		v >>= 8
	}
	return h
}

// Finish is the end of a hash.
func Finish(h uint64) uint64 {
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	return h | 1 // never zero
}
