package tree

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/aggrfs/aggrfs/pkg/aggregate/objectid"
	"github.com/aggrfs/aggrfs/pkg/aggregate/proctable"
	"github.com/aggrfs/aggrfs/pkg/aggregate/synthetic"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// sys/devices/system/cpu is the directory of that path in /sys as it has to be beside a stat
// and a cpuinfo with one CPU a node: programs count the CPUs there. A command's mount of the tree
// is mounted over the reader's own (package nsexec). It can be walked and is not listed. A node
// is online as long as it is in the view, whether it answers or not; below the highest index
// the others are there and offline, as CPUs may be.

// CPUs is the path of that directory.
const CPUs = "sys/devices/system/cpu"

// newCPUsPath is sys/devices.
func newCPUsPath(v viewTree, id uint64) vfs.Node {
	path := strings.Split(CPUs, "/")[2:]
	var below func(id uint64, depth int) vfs.Node
	below = func(id uint64, depth int) vfs.Node {
		if depth == len(path) {
			return newCPUsDir(v, id)
		}
		return v.t.base.Dir(id, func(_ context.Context, name string) (vfs.Node, error) {
			if name != path[depth] {
				return nil, syscall.ENOENT
			}
			return below(objectid.Child(id, name), depth+1), nil
		}, func(context.Context) ([]vfs.DirEntry, error) {
			return []vfs.DirEntry{synthetic.Entry(id, path[depth], vfs.TypeDir)}, nil
		})
	}
	return below(id, 0)
}

// cpuLists are the files of sys/devices/system/cpu, see cputopology.rst in the kernel's
// Documentation/admin-guide.
var cpuLists = map[string]func(c cpus) string{
	"kernel_max": func(c cpus) string { return strconv.Itoa(max(0, c.highest())) },
	"offline": func(c cpus) string {
		return ranges(func(i int) bool { return !c.online(i) }, c.highest())
	},
	"online":   func(c cpus) string { return ranges(c.online, c.highest()) },
	"possible": func(c cpus) string { return ranges(every, c.highest()) },
	"present":  func(c cpus) string { return ranges(every, c.highest()) },
}

func every(int) bool { return true }

// topology are the files of a CPU's directory of that name: one of its own package. highest is
// that of the CPUs.
var topology = map[string]func(cpu, highest int) string{
	"core_cpus":            mask,
	"core_cpus_list":       itself,
	"core_id":              zero,
	"core_siblings":        mask,
	"core_siblings_list":   itself,
	"die_id":               zero,
	"package_cpus":         mask,
	"package_cpus_list":    itself,
	"physical_package_id":  itself,
	"thread_siblings":      mask,
	"thread_siblings_list": itself,
}

func itself(cpu, _ int) string { return strconv.Itoa(cpu) }

func zero(int, int) string { return "0" }

// mask is the set of that CPU alone, as the kernel prints a bitmap: in groups of 32 bits.
func mask(cpu, highest int) string {
	var b strings.Builder
	for group := highest / 32; group >= 0; group-- {
		bits := uint32(0)
		if group == cpu/32 {
			bits = 1 << (cpu % 32)
		}
		fmt.Fprintf(&b, "%08x", bits)
		if group > 0 {
			b.WriteByte(',')
		}
	}
	return b.String()
}

// cpus are the nodes of a view, by rising index.
type cpus []*proctable.Node

func (c cpus) highest() int {
	if len(c) == 0 {
		return -1
	}
	return c[len(c)-1].Index
}

func (c cpus) online(index int) bool {
	_, found := slices.BinarySearchFunc(c, index, func(n *proctable.Node, index int) int { return n.Index - index })
	return found
}

// ranges are the numbers up to the highest that are in, as the kernel prints a list: "0-2,5".
func ranges(in func(int) bool, highest int) string {
	var b strings.Builder
	for i := 0; i <= highest; i++ {
		if !in(i) {
			continue
		}
		from := i
		for i < highest && in(i+1) {
			i++
		}
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		if b.WriteString(strconv.Itoa(from)); i > from {
			fmt.Fprintf(&b, "-%d", i)
		}
	}
	return b.String()
}

// newCPUsDir is sys/devices/system/cpu.
func newCPUsDir(v viewTree, id uint64) vfs.Node {
	return v.t.base.Dir(id, func(_ context.Context, name string) (vfs.Node, error) {
		if list := cpuLists[name]; list != nil {
			return textFile(v, objectid.Child(id, name), func() string { return list(cpus(v.Nodes())) }), nil
		}
		digits, ok := strings.CutPrefix(name, "cpu")
		index, err := strconv.Atoi(digits)
		if !ok || err != nil || index < 0 || index > cpus(v.Nodes()).highest() || strconv.Itoa(index) != digits {
			return nil, syscall.ENOENT
		}
		return newCPUDir(v, index, objectid.Child(id, name)), nil
	}, func(context.Context) ([]vfs.DirEntry, error) {
		var all []vfs.DirEntry
		for name := range cpuLists {
			all = append(all, synthetic.Entry(id, name, vfs.TypeFile))
		}
		for i := range cpus(v.Nodes()).highest() + 1 {
			all = append(all, synthetic.Entry(id, "cpu"+strconv.Itoa(i), vfs.TypeDir))
		}
		return synthetic.Sort(all), nil
	})
}

// newCPUDir is the directory of one CPU.
func newCPUDir(v viewTree, index int, id uint64) vfs.Node {
	return v.t.base.Dir(id, func(_ context.Context, name string) (vfs.Node, error) {
		switch name {
		case "online":
			return textFile(v, objectid.Child(id, name), func() string {
				if cpus(v.Nodes()).online(index) {
					return "1"
				}
				return "0"
			}), nil
		case "topology":
			if !cpus(v.Nodes()).online(index) { // nor has the kernel one of a CPU that is offline
				return nil, syscall.ENOENT
			}
			id := objectid.Child(id, name)
			return v.t.base.Dir(id, func(_ context.Context, name string) (vfs.Node, error) {
				text := topology[name]
				if text == nil {
					return nil, syscall.ENOENT
				}
				return textFile(v, objectid.Child(id, name), func() string { return text(index, cpus(v.Nodes()).highest()) }), nil
			}, func(context.Context) ([]vfs.DirEntry, error) {
				var all []vfs.DirEntry
				for name := range topology {
					all = append(all, synthetic.Entry(id, name, vfs.TypeFile))
				}
				return synthetic.Sort(all), nil
			}), nil
		}
		return nil, syscall.ENOENT
	}, func(context.Context) ([]vfs.DirEntry, error) {
		all := []vfs.DirEntry{synthetic.Entry(id, "online", vfs.TypeFile)}
		if cpus(v.Nodes()).online(index) {
			all = append(all, synthetic.Entry(id, "topology", vfs.TypeDir))
		}
		return synthetic.Sort(all), nil
	})
}

// textFile is a file of one line.
func textFile(v viewTree, id uint64, text func() string) vfs.Node {
	return v.t.base.File(id, func(context.Context) ([]byte, error) { return []byte(text() + "\n"), nil })
}
