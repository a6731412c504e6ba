package report

import (
	"bytes"
	"fmt"
	"time"

	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
)

// A Table is the content of a file of cluster/ that has a twin in JSON.
type Table[R any] struct {
	Answer
	Rows []R
}

// Text is the table, with its remarks behind the rows.
func (t *Table[R]) Text() []byte {
	b := encode(t.Rows...)
	for _, r := range t.Remarks {
		b = r.AppendText(b)
	}
	switch {
	case !t.Sampled:
	case t.Interval == 0:
		b = append(b, "# interval -\n"...)
	default:
		b = fmt.Appendf(b, "# interval %.2fs\n", t.Interval.Seconds())
	}
	return b
}

// JSON is the same as one object.
func (t *Table[R]) JSON() ([]byte, error) {
	var b bytes.Buffer
	err := WriteRows(&b, t.Answer, t.Rows)
	return b.Bytes(), err
}

// ParseTable reads the rows of such a file, which is called file in errors, and its remarks.
func ParseTable[R any](file string, text []byte) ([]R, []Remark, error) {
	return readAll[R](file, text)
}

// In the rows below nil is not known: the node's leaf does not tell, or it is not for the viewer,
// or, of what is over a time (OVER, in seconds), there is one sample alone.

// A Load is a row of cluster/load.
type Load struct {
	Node   string   `column:"NODE,required"`
	Load1  *float64 `column:"LOAD1"` // as in proc_loadavg(5)
	Load5  *float64 `column:"LOAD5"`
	Load15 *float64 `column:"LOAD15"`
	CPUs   *int64   `column:"CPUS"`
	// Running, Blocked and Threads are those that can run, that wait for I/O, and all.
	Running *int64   `column:"RUNNING"`
	Blocked *int64   `column:"BLOCKED"`
	Threads *int64   `column:"THREADS"`
	Uptime  *int64   `column:"UPTIME"` // seconds
	Offset  *float64 `column:"OFFSET"` // of the node's wall clock, ahead of the front end's, ms
}

// A CPU is a row of cluster/cpu: what the processors did, in percent of all their time.
type CPU struct {
	Node    string   `column:"NODE,required"`
	Over    *float64 `column:"OVER"`
	User    *float64 `column:"USER"` // guests included
	Nice    *float64 `column:"NICE"`
	System  *float64 `column:"SYSTEM"`
	Idle    *float64 `column:"IDLE"`
	IOWait  *float64 `column:"IOWAIT"`
	IRQ     *float64 `column:"IRQ"`
	SoftIRQ *float64 `column:"SOFTIRQ"`
	Steal   *float64 `column:"STEAL"`
	// Switches, Interrupts and Forks are how many there were in a second.
	Switches   *float64 `column:"CTXT"`
	Interrupts *float64 `column:"INTR"`
	Forks      *float64 `column:"FORKS"`
}

// A Memory is a row of cluster/mem: KiB, as in proc_meminfo(5), and pages a second.
type Memory struct {
	Node      string   `column:"NODE,required"`
	Total     *int64   `column:"TOTAL"`
	Free      *int64   `column:"FREE"`
	Available *int64   `column:"AVAILABLE"`
	Used      *float64 `column:"%USED"` // what is not available, in percent
	Buffers   *int64   `column:"BUFFERS"`
	Cached    *int64   `column:"CACHED"`
	Shmem     *int64   `column:"SHMEM"`
	Dirty     *int64   `column:"DIRTY"`
	SwapTotal *int64   `column:"SWAPTOTAL"`
	SwapFree  *int64   `column:"SWAPFREE"`
	OOMKills  *int64   `column:"OOMKILLS"` // since boot
	Over      *float64 `column:"OVER"`
	Faults    *float64 `column:"FAULTS"`
	Major     *float64 `column:"MAJFAULTS"`
	SwapIn    *float64 `column:"SWAPIN"`
	SwapOut   *float64 `column:"SWAPOUT"`
}

// A Net is a row of cluster/net: all interfaces but lo together, a second.
type Net struct {
	Node       string   `column:"NODE,required"`
	Over       *float64 `column:"OVER"`
	Interfaces *int64   `column:"IFACES"`
	RxKiB      *float64 `column:"RXKIB"`
	TxKiB      *float64 `column:"TXKIB"`
	RxPackets  *float64 `column:"RXPCK"`
	TxPackets  *float64 `column:"TXPCK"`
	Errors     *float64 `column:"ERRORS"` // both ways
	Drops      *float64 `column:"DROPS"`
	// Busiest is the interface with most bytes, and BusyKiB how many both ways.
	Busiest string   `column:"BUSIEST"`
	BusyKiB *float64 `column:"BUSYKIB"`
}

// A Disk is a row of cluster/disk: all whole disks together, a second, and the fullest of the local
// file systems.
type Disk struct {
	Node     string   `column:"NODE,required"`
	Over     *float64 `column:"OVER"`
	Disks    *int64   `column:"DISKS"`
	Reads    *float64 `column:"READS"`
	Writes   *float64 `column:"WRITES"`
	ReadKiB  *float64 `column:"READKIB"`
	WriteKiB *float64 `column:"WRITEKIB"`
	// Busiest is the disk that was busy for most of the time, and Busy for how much, in percent.
	Busiest string   `column:"BUSIEST"`
	Busy    *float64 `column:"%BUSY"`
	// Full is how full the fullest file system is, in percent as df(1) has it, Available what is
	// left there, KiB, and Mount where it is mounted.
	Full      *float64 `column:"%FULL"`
	Available *int64   `column:"AVAILABLE"`
	Mount     string   `column:"MOUNT"`
}

// A Pressure is a row of cluster/pressure: for how much of the time tasks were stalled, in percent:
// some of them, or all that could have run (FULL); over the time OVER, and the kernel's own averages
// over ten seconds.
type Pressure struct {
	Node         string   `column:"NODE,required"`
	Over         *float64 `column:"OVER"`
	CPU          *float64 `column:"CPU"`
	Memory       *float64 `column:"MEM"`
	MemoryFull   *float64 `column:"MEMFULL"`
	IO           *float64 `column:"IO"`
	IOFull       *float64 `column:"IOFULL"`
	CPU10        *float64 `column:"CPU10"`
	Memory10     *float64 `column:"MEM10"`
	MemoryFull10 *float64 `column:"MEMFULL10"`
	IO10         *float64 `column:"IO10"`
	IOFull10     *float64 `column:"IOFULL10"`
}

// A Top is a row of cluster/top: a process, by the processor time that it uses.
type Top struct {
	Node    string    `column:"NODE,required"`
	PID     gpid.PID  `column:"PID,required"`
	GPID    gpid.GPID `column:"GPID,required"`
	User    string    `column:"USER,required"`
	CPU     *float64  `column:"%CPU"` // of one processor
	Mem     *float64  `column:"%MEM"` // of the node's memory
	RSS     *int64    `column:"RSS"`  // KiB
	Threads *int64    `column:"THREADS"`
	Time    *float64  `column:"TIME"` // processor time since its start, seconds
	Command string    `column:"COMMAND"`
}

// A Rate is a row of cluster/rates: a process that has used processor time.
type Rate struct {
	GPID gpid.GPID `column:"GPID,required"`
	CPU  *float64  `column:"%CPU"`
}

// RatesHeader is the first line of cluster/rates.
const RatesHeader = "GPID %CPU\n"

// ParseRates reads cluster/rates: what processes use that use anything, and over which time; 0 is that
// nothing is known yet.
func ParseRates(text []byte) (rates map[gpid.GPID]float64, interval time.Duration, remarks []Remark, err error) {
	rates = make(map[gpid.GPID]float64)
	remarks, err = read("cluster/rates", bytes.NewReader(text), func(r Rate) {
		if r.CPU != nil {
			rates[r.GPID] = *r.CPU
		}
	})
	if i := bytes.LastIndex(text, []byte("\n# interval ")); i >= 0 {
		word, _, _ := bytes.Cut(text[i+len("\n# interval "):], []byte("\n"))
		if span, err := time.ParseDuration(string(word)); err == nil {
			interval = max(span, 0)
		}
	}
	return rates, interval, remarks, err
}

// A Sum is what processes have together: how many there are, on how many nodes, their threads, the
// processors that they use (percent of one), their processor time since their starts (seconds), and
// their resident memory (KiB; what they share counts for each).
type Sum struct {
	Name    string
	Procs   int
	Nodes   int
	Threads int
	CPU     *float64
	Time    *float64
	RSS     *int64
}

// A UserSum is a row of cluster/users.
type UserSum struct {
	Name    string   `column:"USER,required"`
	Procs   int      `column:"PROCS"`
	Nodes   int      `column:"NODES"`
	Threads int      `column:"THREADS"`
	CPU     *float64 `column:"%CPU"`
	Time    *float64 `column:"TIME"`
	RSS     *int64   `column:"RSS"`
}

// A CommandSum is a row of cluster/commands: of one name, as in the second field of stat in
// proc_pid_stat(5).
type CommandSum struct {
	Name    string   `column:"COMMAND,required"`
	Procs   int      `column:"PROCS"`
	Nodes   int      `column:"NODES"`
	Threads int      `column:"THREADS"`
	CPU     *float64 `column:"%CPU"`
	Time    *float64 `column:"TIME"`
	RSS     *int64   `column:"RSS"`
}

// A UnitSum is a row of cluster/units: of one unit of systemd, by that name on any node.
type UnitSum struct {
	Name    string   `column:"UNIT,required"`
	Procs   int      `column:"PROCS"`
	Nodes   int      `column:"NODES"`
	Threads int      `column:"THREADS"`
	CPU     *float64 `column:"%CPU"`
	Time    *float64 `column:"TIME"`
	RSS     *int64   `column:"RSS"`
}

// A JobSum is a row of cluster/jobs: of one job and one user.
type JobSum struct {
	Job     string   `column:"JOB,required"`
	User    string   `column:"USER"`
	Procs   int      `column:"PROCS"`
	Nodes   int      `column:"NODES"`
	Threads int      `column:"THREADS"`
	CPU     *float64 `column:"%CPU"`
	Time    *float64 `column:"TIME"`
	RSS     *int64   `column:"RSS"`
}

// A ContainerSum is a row of cluster/containers.
type ContainerSum struct {
	Container string   `column:"CONTAINER,required"`
	Runtime   string   `column:"RUNTIME"`
	Pod       string   `column:"POD"`
	Procs     int      `column:"PROCS"`
	Nodes     int      `column:"NODES"`
	Threads   int      `column:"THREADS"`
	CPU       *float64 `column:"%CPU"`
	Time      *float64 `column:"TIME"`
	RSS       *int64   `column:"RSS"`
}
