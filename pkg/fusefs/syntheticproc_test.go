package fusefs

import (
	"context"
	"fmt"
	"strconv"
	"syscall"
	"time"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// A synth is the tree of procs that a benchmark reads: a /proc of so many
// processes with the files that ps and top open, all in memory.
type synth struct {
	procs  int
	keep   time.Duration
	native string // where a native procfs is for those who run on the mount
}

// synthFirst is the pid of the first process.
const synthFirst = 10_000_001

type (
	synthRoot struct{ *synth }
	synthProc struct {
		*synth
		pid uint64
	}
	synthFile struct {
		id   uint64
		data []byte
		keep time.Duration
		held bool // its size is known and it may be cached
	}
	synthLink struct {
		id   uint64
		text string
	}
)

func (r synthRoot) attr(id uint64) (vfs.Attr, error) {
	return vfs.Attr{ID: id, Mode: uint32(vfs.TypeDir) | 0o555, Nlink: 2, Keep: r.keep}, nil
}

func (r synthRoot) ID() uint64                             { return 1 }
func (r synthRoot) Type() vfs.Type                         { return vfs.TypeDir }
func (r synthRoot) Attr(context.Context) (vfs.Attr, error) { return r.attr(1) }
func (r synthRoot) List(context.Context) (vfs.DirHandle, error) {
	return vfs.NewListing(func(context.Context) ([]vfs.DirEntry, error) {
		list := make([]vfs.DirEntry, r.procs)
		for i := range list {
			pid := uint64(synthFirst + i)
			list[i] = vfs.DirEntry{Name: strconv.FormatUint(pid, 10), ID: pid << 8, Type: vfs.TypeDir, Next: pid}
		}
		return list, nil
	}), nil
}

func (r synthRoot) Walk(_ context.Context, name string) (vfs.Node, error) {
	if pid, err := strconv.ParseUint(name, 10, 32); err == nil && pid > 0 {
		return synthProc{r.synth, pid}, nil
	}
	switch name {
	case "self":
		return synthLink{2, r.native + "/self"}, nil
	case "stat", "meminfo", "loadavg", "uptime", "version", "cpuinfo":
		return synthLink{3 + uint64(len(name)), r.native + "/" + name}, nil
	case "sys":
		return synthSys{r}, nil
	}
	return nil, syscall.ENOENT
}

// synthSys is sys and sys/kernel: the width of a pid in top is that of pid_max.
type synthSys struct{ synthRoot }

func (s synthSys) ID() uint64 { return 20 }
func (s synthSys) Walk(_ context.Context, name string) (vfs.Node, error) {
	switch name {
	case "kernel":
		return s, nil
	case "pid_max":
		return synthFile{id: 21, data: []byte("2147483647\n"), keep: s.keep, held: true}, nil
	}
	return synthLink{22, s.native + "/sys/kernel/" + name}, nil
}

func (p synthProc) ID() uint64                                  { return p.pid << 8 }
func (p synthProc) Type() vfs.Type                              { return vfs.TypeDir }
func (p synthProc) Attr(context.Context) (vfs.Attr, error)      { return synthRoot{p.synth}.attr(p.ID()) }
func (p synthProc) List(context.Context) (vfs.DirHandle, error) { return nil, syscall.EACCES }
func (p synthProc) Walk(_ context.Context, name string) (vfs.Node, error) {
	f := synthFile{id: p.ID(), keep: p.keep, held: true}
	switch name {
	case "stat":
		f.id, f.data = f.id+1, fmt.Appendf(nil, "%d (sleep) S 1 %d %d 0 -1 4194304 92 0 0 0 1 2 0 0 20 0 1 0 %d 2502656 224 18446744073709551615 94173 94187 1407 0 0 0 0 0 0 1 0 0 17 1 0 0 0 0 0 94196 94197 941988 140731 140732 140733 140734 0\n", p.pid, p.pid, p.pid, p.pid%1000)
	case "status":
		f.id, f.data = f.id+2, synthStatus(p.pid)
	case "cmdline":
		f.id, f.data = f.id+3, fmt.Appendf(nil, "/usr/bin/sleep\x00--with-some-argument\x00%d\x00", p.pid)
	case "statm":
		f.id, f.data = f.id+4, []byte("611 224 198 5 0 65 0\n")
	case "environ":
		f.id, f.data, f.held = f.id+5, make([]byte, 1000), false
		for i := range f.data {
			f.data[i] = "PATH=/usr/local/sbin:/usr/bin\x00"[i%30]
		}
	default:
		return nil, vfs.Missing{Keep: p.keep}
	}
	return f, nil
}

func (f synthFile) ID() uint64     { return f.id }
func (f synthFile) Type() vfs.Type { return vfs.TypeFile }
func (f synthFile) Attr(context.Context) (vfs.Attr, error) {
	a := vfs.Attr{ID: f.id, Mode: uint32(vfs.TypeFile) | 0o444, Nlink: 1, Keep: f.keep}
	if f.held {
		a.Size = uint64(len(f.data))
	}
	return a, nil
}
func (f synthFile) Open(context.Context) (vfs.Handle, error) {
	keep := f.keep
	if !f.held {
		keep = 0
	}
	return vfs.NewBytes(f.data, keep), nil
}

// State implements vfs.Stater: nothing ever changes.
func (f synthFile) State() (uint64, bool) { return 1, f.held }

func (l synthLink) ID() uint64     { return l.id }
func (l synthLink) Type() vfs.Type { return vfs.TypeLink }
func (l synthLink) Attr(context.Context) (vfs.Attr, error) {
	return vfs.Attr{ID: l.id, Mode: uint32(vfs.TypeLink) | 0o777, Nlink: 1}, nil
}
func (l synthLink) Readlink(context.Context) (string, error) { return l.text, nil }

func synthStatus(pid uint64) []byte {
	return fmt.Appendf(nil, `Name:	sleep
Umask:	0022
State:	S (sleeping)
Tgid:	%[1]d
Ngid:	0
Pid:	%[1]d
PPid:	1
TracerPid:	0
Uid:	0	0	0	0
Gid:	0	0	0	0
FDSize:	256
Groups:	0 1 2 3 4 6 10
NStgid:	%[1]d
NSpid:	%[1]d
NSpgid:	%[1]d
NSsid:	%[1]d
Kthread:	0
VmPeak:	    2444 kB
VmSize:	    2444 kB
VmLck:	       0 kB
VmPin:	       0 kB
VmHWM:	     896 kB
VmRSS:	     896 kB
RssAnon:	     104 kB
RssFile:	     792 kB
RssShmem:	       0 kB
VmData:	     360 kB
VmStk:	     132 kB
VmExe:	      20 kB
VmLib:	    1524 kB
VmPTE:	      44 kB
VmSwap:	       0 kB
HugetlbPages:	       0 kB
CoreDumping:	0
THP_enabled:	1
untag_mask:	0xffffffffffffffff
Threads:	1
SigQ:	0/96000
SigPnd:	0000000000000000
ShdPnd:	0000000000000000
SigBlk:	0000000000000000
SigIgn:	0000000000000000
SigCgt:	0000000000000000
CapInh:	0000000000000000
CapPrm:	000001ffffffffff
CapEff:	000001ffffffffff
CapBnd:	000001ffffffffff
CapAmb:	0000000000000000
NoNewPrivs:	0
Seccomp:	0
Seccomp_filters:	0
Speculation_Store_Bypass:	vulnerable
SpeculationIndirectBranch:	always enabled
Cpus_allowed:	3
Cpus_allowed_list:	0-1
Mems_allowed:	00000000,00000001
Mems_allowed_list:	0
voluntary_ctxt_switches:	1
nonvoluntary_ctxt_switches:	0
`, pid)
}
