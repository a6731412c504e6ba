package aggregate

// Object numbers of the merged tree (vfs.Node.ID): an FNV-1a hash over the way
// to the object, finished so that all bits depend on all. A process directory's
// number includes the leaf's own for the process, so that a reused pid is
// another object.
const (
	fnvOffset = 14695981039346656037
	fnvPrime  = 1099511628211
)

// childID is the number of the entry of that name in the directory with number
// parent.
func childID(parent uint64, name string) uint64 {
	h := uint64(fnvOffset)
	h = mix(h, parent)
	for i := range len(name) {
		h = (h ^ uint64(name[i])) * fnvPrime
	}
	return finish(h)
}

// processID is the number of the directory of a process below parent.
func processID(parent uint64, index int, leaf uint64) uint64 {
	if parent == bareRoot {
		return leaf
	}
	return finish(mix(mix(mix(fnvOffset, parent), uint64(index)), leaf))
}

func mix(h, v uint64) uint64 {
	for range 8 {
		h = (h ^ v&0xff) * fnvPrime
		v >>= 8
	}
	return h
}

func finish(h uint64) uint64 {
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	return h | 1 // never zero
}
