package main

import (
	"errors"
	"fmt"
	"time"
)

// size is how many nodes are simulated, with how many processes each.
type size struct{ nodes, procs int }

// check refuses what cannot be measured.
func (s size) check() error {
	if s.nodes < 4 || s.nodes > 9999 || s.procs < 20 || s.procs > 50000 {
		return fmt.Errorf("%d nodes of %d processes: want 4 to 9999 nodes, and 20 to 50000 processes", s.nodes, s.procs)
	}
	return nil
}

// all is the number of processes.
func (s size) all() int { return s.nodes * s.procs }

// smaller is a tenth of the nodes.
func (s size) smaller() size { return size{max(4, s.nodes/10), s.procs} }

// shortfalls collects what was measured and is not as it must be, so that what comes after it is
// measured, too.
type shortfalls struct{ errs []error }

func (s *shortfalls) add(err error) {
	if err != nil {
		s.errs = append(s.errs, err)
	}
}

func (s *shortfalls) err() error { return errors.Join(s.errs...) }

// each is what a process takes.
func each(d time.Duration, processes int) time.Duration { return d / time.Duration(max(1, processes)) }
