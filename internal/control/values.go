package control

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// rtMin is the first real-time signal that programs have: the C library keeps two.
const rtMin, rtMax = 34, 64

// signalArg is a signal by its name, or by its number where it has none.
func signalArg(text string) (string, error) {
	n, err := SignalNumber(text)
	if err != nil {
		return "", err
	}
	if name := strings.TrimPrefix(unix.SignalName(syscall.Signal(n)), "SIG"); name != "" {
		return name, nil
	}
	return strconv.Itoa(n), nil
}

// SignalNumber is the number, on this machine, of a signal by name or number.
func SignalNumber(text string) (int, error) {
	if n, err := strconv.ParseInt(text, 10, 32); err == nil {
		return int(n), nil
	}
	name := strings.TrimPrefix(strings.ToUpper(text), "SIG")
	for _, base := range []struct {
		name string
		n    int
	}{{"RTMIN", rtMin}, {"RTMAX", rtMax}} {
		rest, ok := strings.CutPrefix(name, base.name)
		if !ok {
			continue
		}
		if rest == "" {
			return base.n, nil
		}
		d, err := strconv.ParseInt(rest, 10, 8)
		if n := base.n + int(d); err == nil && (rest[0] == '+' || rest[0] == '-') && rtMin <= n && n <= rtMax {
			return n, nil
		}
	}
	if n := unix.SignalNum("SIG" + name); n != 0 {
		return int(n), nil
	}
	return 0, fmt.Errorf("no signal's name or number")
}

// maxCPU bounds the numbers of processors: kernels are built for 8192.
const maxCPU = 8192

func cpusArg(text string) (string, error) {
	cpus, err := ParseCPUs(text)
	if err != nil {
		return "", err
	}
	return FormatCPUs(cpus), nil
}

// ParseCPUs reads a list of processors as in cpuset(7): 0-3,7. They are sorted.
func ParseCPUs(text string) (cpus []int, err error) {
	for part := range strings.SplitSeq(text, ",") {
		from, to, isRange := strings.Cut(part, "-")
		first, err := strconv.ParseUint(from, 10, 16)
		last := first
		if err == nil && isRange {
			last, err = strconv.ParseUint(to, 10, 16)
		}
		if err != nil || last < first || last >= maxCPU || len(cpus) > maxCPU {
			return nil, fmt.Errorf("no list of processors, such as 0-3,7, below %d", maxCPU)
		}
		for n := first; n <= last; n++ {
			cpus = append(cpus, int(n))
		}
	}
	slices.Sort(cpus)
	return slices.Compact(cpus), nil
}

// FormatCPUs is what ParseCPUs reads, of sorted numbers.
func FormatCPUs(cpus []int) string {
	var b []byte
	for i := 0; i < len(cpus); {
		j := i + 1
		for j < len(cpus) && cpus[j] == cpus[j-1]+1 {
			j++
		}
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, int64(cpus[i]), 10)
		if j > i+1 {
			b = strconv.AppendInt(append(b, '-'), int64(cpus[j-1]), 10)
		}
		i = j
	}
	return string(b)
}

// ioprioClasses are those of linux/ioprio.h, by number.
var ioprioClasses = []string{"none", "rt", "be", "idle"}

// ioprioShift is IOPRIO_CLASS_SHIFT of linux/ioprio.h.
const ioprioShift = 13

func ioprioArg(text string) (string, error) {
	n, err := ParseIoprio(text)
	if err != nil {
		return "", err
	}
	return FormatIoprio(n), nil
}

// ParseIoprio is what ioprio_set(2) takes, of CLASS[:LEVEL].
func ParseIoprio(text string) (int, error) {
	name, level, given := strings.Cut(text, ":")
	class := slices.Index(ioprioClasses, name)
	if n, err := strconv.ParseUint(name, 10, 3); class < 0 && err == nil {
		class = int(n)
	}
	data := 4 // as ionice(1) has it
	if class == 0 || class == 3 {
		data = 0
	}
	if given {
		n, err := strconv.ParseUint(level, 10, ioprioShift)
		if err != nil {
			class = -1
		}
		data = int(n)
	}
	if class < 0 {
		return 0, fmt.Errorf("no class of input and output (none, rt, be, idle) with a level (be:4)")
	}
	return class<<ioprioShift | data, nil
}

// FormatIoprio is what ParseIoprio reads.
func FormatIoprio(n int) string {
	class, level := strconv.Itoa(n>>ioprioShift), n&(1<<ioprioShift-1)
	if i := n >> ioprioShift; 0 <= i && i < len(ioprioClasses) {
		class = ioprioClasses[i]
	}
	return class + ":" + strconv.Itoa(level)
}

// policies are those of linux/sched.h, by number; "" is one that has no name here.
var policies = []string{"other", "fifo", "rr", "batch", "", "idle", "deadline", "ext"}

func policyArg(text string) (string, error) {
	n, err := ParsePolicy(text)
	if err != nil {
		return "", err
	}
	return FormatPolicy(n), nil
}

// ParsePolicy is what sched_setscheduler(2) takes as a policy, by name or number.
func ParsePolicy(text string) (int, error) {
	if n := slices.Index(policies, text); n >= 0 && text != "" {
		return n, nil
	}
	n, err := strconv.ParseInt(text, 0, 32)
	if err != nil {
		return 0, fmt.Errorf("no policy of the scheduler (other, fifo, rr, batch, idle, or a number)")
	}
	return int(n), nil
}

// FormatPolicy is what ParsePolicy reads.
func FormatPolicy(n int) string {
	if 0 <= n && n < len(policies) && policies[n] != "" {
		return policies[n]
	}
	return strconv.Itoa(n)
}

// resources are those of prlimit(2), by number (asm-generic/resource.h).
var resources = []string{
	"cpu", "fsize", "data", "stack", "core", "rss", "nproc", "nofile", "memlock", "as", "locks",
	"sigpending", "msgqueue", "nice", "rtprio", "rttime",
}

func resourceArg(text string) (string, error) {
	n, err := ParseResource(text)
	if err != nil {
		return "", err
	}
	if 0 <= n && n < len(resources) {
		return resources[n], nil
	}
	return strconv.Itoa(n), nil
}

// ParseResource is what prlimit(2) takes as a resource, by name or number.
func ParseResource(text string) (int, error) {
	name := strings.TrimPrefix(strings.ToLower(text), "rlimit_")
	if n := slices.Index(resources, name); n >= 0 {
		return n, nil
	}
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("no resource, such as nofile or core")
	}
	return int(n), nil
}

func limitsArg(text string) (string, error) {
	l, err := ParseLimits(text)
	if err != nil {
		return "", err
	}
	return FormatLimits(l), nil
}

// unlimited is RLIM_INFINITY in words.
const unlimited = "unlimited"

// ParseLimits reads SOFT:HARD.
func ParseLimits(text string) (l unix.Rlimit, err error) {
	soft, hard, ok := strings.Cut(text, ":")
	if l.Cur, err = parseLimit(soft); err == nil {
		l.Max, err = parseLimit(hard)
	}
	if err != nil || !ok {
		return l, fmt.Errorf("no limits, SOFT:HARD, each a number or %s", unlimited)
	}
	return l, nil
}

func parseLimit(text string) (uint64, error) {
	if text == unlimited {
		return math.MaxUint64, nil
	}
	return strconv.ParseUint(text, 10, 64)
}

// FormatLimits is what ParseLimits reads.
func FormatLimits(l unix.Rlimit) string { return formatLimit(l.Cur) + ":" + formatLimit(l.Max) }

func formatLimit(n uint64) string {
	if n == math.MaxUint64 {
		return unlimited
	}
	return strconv.FormatUint(n, 10)
}
