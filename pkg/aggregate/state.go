package aggregate

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// State is what must survive a restart for gpids to stay what they are: which
// index each node has. A node that leaves the configuration keeps its index for
// when it comes back; indexes of such nodes are dealt anew only when there is
// no other.
type State struct {
	Version int              `json:"version"` // 1
	Mode    string           `json:"mode"`    // how gpids are made: "fixed"
	Nodes   map[NodeName]int `json:"nodes"`   // index of each node, from 1; the head node is 0 and not listed
}

const (
	stateVersion = 1
	stateMode    = "fixed"
)

func newState() *State {
	return &State{Version: stateVersion, Mode: stateMode, Nodes: map[NodeName]int{}}
}

// LoadState reads the state file. One that does not exist yet is an empty
// state; one that cannot be understood is an error, since to go on without it
// would move gpids.
func LoadState(path string) (*State, error) {
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return newState(), nil
	}
	if err != nil {
		return nil, fmt.Errorf("state file: %w", err)
	}
	s := &State{}
	if err := json.Unmarshal(raw, s); err != nil {
		return nil, fmt.Errorf("state file %s: %w; restore it, or remove it to deal new indexes (gpids will change)", path, err)
	}
	if s.Version != stateVersion || s.Mode != stateMode {
		return nil, fmt.Errorf("state file %s has version %d and mode %q, this aggrfs knows version %d and mode %q", path, s.Version, s.Mode, stateVersion, stateMode)
	}
	if s.Nodes == nil {
		return nil, fmt.Errorf("state file %s names no nodes; restore it, or remove it to deal new indexes (gpids will change)", path)
	}
	owner := map[int]NodeName{}
	for name, index := range s.Nodes {
		if other, taken := owner[index]; taken || index < 1 || index > MaxIndex {
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
	if len(names) > MaxIndex {
		return false, fmt.Errorf("%d nodes besides the head node, but fixed gpids have room for %d: a gpid is index × %d + pid and must fit 31 bits; split the cluster over several front ends", len(names), MaxIndex, gpidStride)
	}
	current := make(map[NodeName]bool, len(names))
	for _, name := range names {
		current[name] = true
	}
	taken := map[int]NodeName{}
	for name, index := range s.Nodes {
		taken[index] = name
	}
	for _, name := range names {
		if _, ok := s.Nodes[name]; ok {
			continue
		}
		index := 1
		for index <= MaxIndex && taken[index] != "" {
			index++
		}
		if index > MaxIndex {
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
