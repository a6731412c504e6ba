package gpid

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/aggrfs/aggrfs/internal/atomicfile"
)

// The largest index of a node in each mode.
const (
	maxFixedIndex = 213 // its gpids all fit a pid_t
	maxPagedIndex = 1<<20 - 1
)

// A state is the state file.
type state struct {
	Version int              `json:"version"` // stateVersion
	Mode    string           `json:"mode"`    // Fixed or Paged
	Nodes   map[NodeName]int `json:"nodes"`   // index of each node that was ever there, from 1
}

const stateVersion = 1

func newState(mode string) *state {
	return &state{Version: stateVersion, Mode: mode, Nodes: map[NodeName]int{}}
}

// maxIndex is the largest index that the mode has room for.
func (s *state) maxIndex() int {
	if s.Mode == Paged {
		return maxPagedIndex
	}
	return maxFixedIndex
}

// loadState reads the state file. One that does not exist is an empty state.
func loadState(path, mode string) (*state, error) {
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return newState(mode), nil
	}
	if err != nil {
		return nil, fmt.Errorf("state file: %w", err)
	}
	s := &state{}
	if err := json.Unmarshal(raw, s); err != nil {
		return nil, fmt.Errorf("state file %s: %w; restore it, or remove it to deal new indexes (gpids will change)", path, err)
	}
	if err := s.check(mode); err != nil {
		return nil, fmt.Errorf("state file %s: %w", path, err)
	}
	return s, nil
}

// check says what is wrong with a state that was read, for the mode that the configuration
// wants.
func (s *state) check(mode string) error {
	switch {
	case s.Version != stateVersion || s.Mode != Fixed && s.Mode != Paged:
		return fmt.Errorf("it has version %d and mode %q, this aggrfs knows version %d and the modes %q and %q", s.Version, s.Mode, stateVersion, Fixed, Paged)
	case s.Mode != mode:
		return fmt.Errorf("gpids are %s so far, and the configuration wants them %s; write \"gpids: %[1]s\", or remove the file to deal all anew (gpids will change)", s.Mode, mode)
	case s.Nodes == nil:
		return errors.New("it names no nodes; restore it, or remove it to deal new indexes (gpids will change)")
	}
	owner := map[int]NodeName{}
	for name, index := range s.Nodes {
		if other, taken := owner[index]; taken || index < 1 || index > s.maxIndex() {
			return fmt.Errorf("node %q has index %d, which is out of range or also %q's; mend or remove the file", name, index, other)
		}
		owner[index] = name
	}
	return nil
}

// deal gives each of names an index: the one it has, else the lowest that no
// node ever had, else one of a node that is no longer among names. It reports
// whether the state changed.
func (s *state) deal(names []NodeName) (changed bool, err error) {
	most := s.maxIndex()
	switch {
	case len(names) <= most:
	case s.Mode == Fixed:
		return false, fmt.Errorf("%d nodes besides the head node, but fixed gpids have room for %d: a gpid is index × %d + pid and must fit 31 bits; write \"gpids: paged\" and remove the state file (gpids will change)", len(names), most, Stride)
	default:
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

// save writes the state file.
func (s *state) save(path string) error {
	raw, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	if err := atomicfile.Write(path, append(raw, '\n'), 0o600); err != nil {
		return fmt.Errorf("state file %s: %w", path, err)
	}
	return nil
}
