package vfstest

import (
	"bytes"
	"slices"
	"sync"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// checkConcurrency does everything at once, with nodes and handles shared. Data
// races are the race detector's to find; answers must be those given to one.
func (s *suite) checkConcurrency() {
	const (
		workers = 8
		most    = 200 // visits
	)
	visits := slices.DeleteFunc(slices.Clone(s.visited), func(v *visit) bool {
		return s.moving(v.path) || s.MayFail(v.path) || slices.Contains(s.Blocked, v.path)
	})
	visits = visits[:min(len(visits), most)]
	if len(visits) == 0 {
		return
	}
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range visits {
				v := visits[(i+w*len(visits)/workers)%len(visits)]
				n, _, err := vfs.WalkPath(s.ctx, s.root, v.names...)
				if err != nil {
					s.Errorf("%q: walk beside others: %v", v.path, err)
					continue
				}
				if a, err := v.node.Attr(s.ctx); err != nil || a.ID != n.ID() {
					s.Errorf("%q: beside others: id %d, then %d, %v", v.path, n.ID(), a.ID, err)
				}
			}
		})
	}
	wg.Wait()
	for _, v := range visits[:min(len(visits), 50)] {
		switch n := v.node.(type) {
		case vfs.Dir:
			s.shareDir(v.path, n, workers)
		case vfs.File:
			s.shareFile(v.path, n, workers)
		}
	}
}

// shareDir reads one open directory from several goroutines.
func (s *suite) shareDir(path string, d vfs.Dir, workers int) {
	h, err := d.List(s.ctx)
	if err != nil {
		return // said by the survey
	}
	defer h.Close()
	want, err := s.readDir(h, 0, 100)
	if err != nil {
		return
	}
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			if got, err := s.readDir(h, 0, 20+w); err != nil || !slices.Equal(got, want) {
				s.Errorf("%q: a handle read beside others: %d entries and %v, want %d", path, len(got), err, len(want))
			}
		})
	}
	wg.Wait()
}

// shareFile reads one open file from several goroutines.
func (s *suite) shareFile(path string, f vfs.File, workers int) {
	h, err := f.Open(s.ctx)
	if err != nil {
		return // said by checkFiles
	}
	defer h.Close()
	want, err := s.read(h, 0, 4096, 64<<10)
	if err != nil {
		return
	}
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			if got, err := s.read(h, 0, 1000+w, len(want)); err != nil || !bytes.Equal(got, want) {
				s.Errorf("%q: a handle read beside others: %d bytes and %v, want %d", path, len(got), err, len(want))
			}
		})
	}
	wg.Wait()
}
