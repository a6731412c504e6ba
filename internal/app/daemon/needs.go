package daemon

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/prometheus/procfs"

	"github.com/aggrfs/aggrfs/internal/app/listen"
	"github.com/aggrfs/aggrfs/internal/app/mountserver"
	"github.com/aggrfs/aggrfs/internal/config"
)

// needs are what a front end takes to have all its nodes connected and their tables in
// memory; see docs/scale.md.
type needs struct {
	descriptors uint64
	memory      uint64 // bytes
}

const (
	// otherDescriptors are for clients, files and this machine's own /proc.
	otherDescriptors = 1024
	// ofCommand are those of a node at an exec: address: its socket, and the pipes of its supervisor.
	ofCommand = 5
	// usualProcesses is how many processes a node is taken to have, bytesAProcess what one
	// takes with its share of all else, and otherMemory the rest.
	usualProcesses = 200
	bytesAProcess  = 1200
	otherMemory    = 64 << 20
	// garbage is how much more the heap is between two collections.
	garbage = 2
)

// needsOf is what that configuration needs.
func needsOf(cfg *config.Config) needs {
	connections := make(map[string]uint64) // the descriptors of each
	for _, n := range cfg.Nodes {
		connections[n.Address] = 1
		if len(n.Command) > 0 {
			connections[n.Address] = ofCommand
		}
	}
	descriptors := uint64(otherDescriptors)
	for _, n := range connections {
		descriptors += n
	}
	return needs{
		descriptors: descriptors,
		memory:      otherMemory + garbage*uint64(len(cfg.Nodes)+1)*usualProcesses*bytesAProcess,
	}
}

// available is what there is. Zero is not known.
func available(proc string) (there needs) {
	there.descriptors = listen.DescriptorLimit()
	fs, err := procfs.NewFS(proc)
	if err != nil {
		return there
	}
	if info, err := fs.Meminfo(); err == nil && info.MemAvailableBytes != nil {
		there.memory = *info.MemAvailableBytes
	}
	if most := cgroupMemory(fs); most > 0 && (there.memory == 0 || most < there.memory) {
		there.memory = most
	}
	return there
}

// cgroupMemory is memory.max of this process's control group (cgroups(7)); 0 is that
// there is none.
func cgroupMemory(fs procfs.FS) uint64 {
	self, err := fs.Self()
	if err != nil {
		return 0
	}
	groups, _ := self.Cgroups()
	for _, g := range groups {
		if g.HierarchyID == 0 { // version 2's
			text, _ := os.ReadFile(filepath.Join("/sys/fs/cgroup", g.Path, "memory.max"))
			most, _ := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64) // "max", as no file, is none
			return most
		}
	}
	return 0
}

// forOthers is how many of limit descriptors are left for connections of clients, and how many
// for mounts of users beside their connections: a quarter, if they may be so many. Zero is not
// known.
func (n needs) forOthers(limit uint64) (connections, mounts int) {
	left := listen.ForConnections(limit, n.descriptors-otherDescriptors)
	if left == 0 {
		return 0, 0
	}
	mounts = max(mountserver.Descriptors, min(left/4, mountserver.Descriptors*mountserver.DefaultMounts))
	return max(left-mounts, 1), mounts
}

// shortOf says what of it there is not, with the remedy.
func (n needs) shortOf(there needs) (warnings []string) {
	if there.descriptors > 0 && there.descriptors < n.descriptors {
		warnings = append(warnings, fmt.Sprintf("%d file descriptors are allowed and %d needed, so some nodes will not be reached: raise the limit (LimitNOFILE=%d in the unit, or ulimit -n)", there.descriptors, n.descriptors, n.descriptors))
	}
	if there.memory > 0 && there.memory < n.memory {
		warnings = append(warnings, fmt.Sprintf("%d MiB of memory are available and about %d MiB needed if each node has %d processes: give the server more (MemoryMax= in the unit), or put another aggrfs between it and some of the nodes (docs/scale.md)", there.memory>>20, n.memory>>20, usualProcesses))
	}
	return warnings
}

// ShortOf says what this process lacks to serve that configuration, with the remedy.
func ShortOf(cfg *config.Config) []string { return needsOf(cfg).shortOf(available(cfg.Proc)) }

// logNeeds logs what the configuration needs, and warns of what there is not.
func logNeeds(log *slog.Logger, cfg *config.Config) {
	n, there := needsOf(cfg), available(cfg.Proc)
	log.Info("needs", "descriptors", n.descriptors, "allowed", there.descriptors, "memory_mib", n.memory>>20, "available_mib", there.memory>>20)
	for _, w := range n.shortOf(there) {
		log.Warn(w)
	}
}
