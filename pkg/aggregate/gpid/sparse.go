package gpid

import (
	"iter"
	"sync/atomic"
)

// A sparse is a table of which few places are in use. It is made of pieces, each of which
// comes when a place in it is first needed and then stays, so that readers need no lock.
type sparse[T any] struct {
	pieces []atomic.Pointer[[pieceSize]T]
	none   T // never written
}

const pieceSize = 64

// newSparse is a table of the places from 0 to last.
func newSparse[T any](last uint32) sparse[T] {
	return sparse[T]{pieces: make([]atomic.Pointer[[pieceSize]T], last/pieceSize+1)}
}

// at is place i. Only one that was needed once may be written: the others are one and the
// same.
func (s *sparse[T]) at(i uint32) *T {
	piece := s.pieces[i/pieceSize].Load()
	if piece == nil {
		return &s.none
	}
	return &piece[i%pieceSize]
}

// need is place i, to be written. One at a time may call it.
func (s *sparse[T]) need(i uint32) *T {
	if s.pieces[i/pieceSize].Load() == nil {
		s.pieces[i/pieceSize].Store(new([pieceSize]T))
	}
	return s.at(i)
}

// all is each place of the pieces that there are, in order.
func (s *sparse[T]) all() iter.Seq2[uint32, *T] {
	return func(yield func(uint32, *T) bool) {
		for k := range s.pieces {
			piece := s.pieces[k].Load()
			for i := 0; piece != nil && i < pieceSize; i++ {
				if !yield(uint32(k*pieceSize+i), &piece[i]) {
					return
				}
			}
		}
	}
}
