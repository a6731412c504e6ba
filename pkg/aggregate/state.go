package aggregate

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/aggrfs/aggrfs/pkg/aggregate/paged"
)

// State is what must survive a restart for gpids to stay what they are: which
// index each node has. A node that leaves the configuration keeps its index for
// when it comes back; indexes of such nodes are dealt anew only when there is
// no other.
type State struct {
	Version int              `json:"version"` // 1
	Mode    string           `json:"mode"`    // how gpids are made: Fixed or Paged
	Nodes   map[NodeName]int `json:"nodes"`   // index of each node, from 1; the head node is 0 and not listed
}

const stateVersion = 1

// The modes of gpids.
const (
	Fixed = "fixed" // index × 10,000,000 + pid
	Paged = "paged" // dealt, see package paged
)

func newState(mode string) *State {
	return &State{Version: stateVersion, Mode: mode, Nodes: map[NodeName]int{}}
}

// maxIndex is the largest index that the mode has room for.
func (s *State) maxIndex() int {
	if s.Mode == Paged {
		return paged.MaxIndex
	}
	return MaxIndex
}

// LoadState reads the state file. One that does not exist yet is an empty state of
// that mode; one that cannot be understood, or is of the other mode, is an error, since
// to go on without it would move gpids.
func LoadState(path, mode string) (*State, error) {
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return newState(mode), nil
	}
	if err != nil {
		return nil, fmt.Errorf("state file: %w", err)
	}
	s := &State{}
	if err := json.Unmarshal(raw, s); err != nil {
		return nil, fmt.Errorf("state file %s: %w; restore it, or remove it to deal new indexes (gpids will change)", path, err)
	}
	if s.Version != stateVersion || s.Mode != Fixed && s.Mode != Paged {
		return nil, fmt.Errorf("state file %s has version %d and mode %q, this aggrfs knows version %d and the modes %q and %q", path, s.Version, s.Mode, stateVersion, Fixed, Paged)
	}
	if s.Mode != mode {
		return nil, fmt.Errorf("state file %s: gpids are %s so far, and the configuration wants them %s; write \"gpids: %s\", or remove the file to deal all anew (gpids will change)", path, s.Mode, mode, s.Mode)
	}
	if s.Nodes == nil {
		return nil, fmt.Errorf("state file %s names no nodes; restore it, or remove it to deal new indexes (gpids will change)", path)
	}
	owner := map[int]NodeName{}
	for name, index := range s.Nodes {
		if other, taken := owner[index]; taken || index < 1 || index > s.maxIndex() {
			return nil, fmt.Errorf("state file %s: node %q has index %d, which is out of range or also %q's; mend or remove the file", path, name, index, other)
		}
		owner[index] = name
	}
	return s, nil
}

// Deal gives each of names an index: the one it has, else the lowest that no
// node ever had, else one of a node that is no longer among names. It reports
// whether the state changed.
func (s *State) Deal(names []NodeName) (changed bool, err error) {
	most := s.maxIndex()
	if len(names) > most && s.Mode == Fixed {
		return false, fmt.Errorf("%d nodes besides the head node, but fixed gpids have room for %d: a gpid is index × %d + pid and must fit 31 bits; write \"gpids: paged\" and remove the state file (gpids will change)", len(names), most, gpidStride)
	}
	if len(names) > most {
		return false, fmt.Errorf("%d nodes, at most %d have an index", len(names), most)
	}
	current := make(map[NodeName]bool, len(names))
	for _, name := range names {
		current[name] = true
	}
	taken := map[int]NodeName{}
	for name, index := range s.Nodes {
		taken[index] = name
	}
	next := 1 // there is none free below it
	for _, name := range names {
		if _, ok := s.Nodes[name]; ok {
			continue
		}
		for next <= most && taken[next] != "" {
			next++
		}
		index := next
		if index > most {
			for index = 1; current[taken[index]]; index++ {
			}
			delete(s.Nodes, taken[index])
		}
		s.Nodes[name], taken[index], changed = index, name, true
	}
	return changed, nil
}

// Save writes the state file in place of the old one, so that a crash leaves
// one or the other.
func (s *State) Save(path string) error {
	raw, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("state file: %w", err)
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".gpids-*")
	if err != nil {
		return fmt.Errorf("state file: %w", err)
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(append(raw, '\n'))
	if err == nil {
		err = tmp.Sync()
	}
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("state file %s: %w", path, err)
	}
	return nil
}
