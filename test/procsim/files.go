package procsim

import (
	"fmt"
	"syscall"
)

const release = "6.1.0-18-amd64"

// content is a file, or a link's text, of a process.
func (n *Node) content(p *process, name string) ([]byte, error) {
	switch name {
	case "stat":
		return p.swept.stat, nil
	case "statm":
		return p.swept.statm, nil
	case "status":
		return p.swept.status, nil
	case "cmdline":
		return p.swept.cmdline, nil
	case "comm":
		return []byte(p.name + "\n"), nil
	case "cgroup":
		switch {
		case p.kernel:
			return []byte("0::/\n"), nil
		case p.job != 0:
			return fmt.Appendf(nil, "0::/system.slice/slurmstepd.scope/job_%d/step_0/user/task_0\n", p.job), nil
		}
		return fmt.Appendf(nil, "0::/system.slice/%s.service\n", p.name), nil
	case "exe", "environ", "maps", "0", "1", "2", "cwd", "root":
		return n.ofUserProcess(p, name)
	case "io":
		return fmt.Appendf(nil, "rchar: %d\nwchar: %d\nsyscr: %d\nsyscw: %d\nread_bytes: 0\nwrite_bytes: 0\ncancelled_write_bytes: 0\n", p.switches*512, p.switches*80, p.switches, p.switches/7), nil
	case "limits":
		return []byte("Limit                     Soft Limit           Hard Limit           Units     \nMax cpu time              unlimited            unlimited            seconds   \n"), nil
	case "oom_score", "sessionid":
		return []byte("667\n"), nil
	case "wchan":
		return []byte("0"), nil
	}
	return nil, syscall.ENOENT
}

// ofUserProcess is what kernel threads have not.
func (n *Node) ofUserProcess(p *process, name string) ([]byte, error) {
	if p.kernel {
		if name == "environ" || name == "maps" {
			return nil, nil
		}
		return nil, syscall.ENOENT
	}
	switch name {
	case "exe":
		return []byte("/usr/bin/" + p.name), nil
	case "cwd", "root":
		return []byte("/"), nil
	case "0", "1", "2":
		return []byte("/dev/null"), nil
	case "environ":
		return fmt.Appendf(nil, "PATH=/usr/bin:/bin\x00HOME=/home/u%d\x00SLURM_JOB_ID=%d\x00", p.uid, p.job), nil
	}
	return fmt.Appendf(nil, "%012x-%012x r-xp 00000000 fd:00 1234 /usr/bin/%s\n", p.startCode, p.startCode+0x123000, p.name), nil
}

// wide is a file of the whole node.
func (n *Node) wide(path string) ([]byte, error) {
	switch path {
	case "version":
		return []byte("Linux version " + release + " (debian-kernel@lists.debian.org) #1 SMP PREEMPT_DYNAMIC\n"), nil
	case "uptime":
		return fmt.Appendf(nil, "%.2f %.2f\n", n.bootSeconds(), n.bootSeconds()*60), nil
	case "loadavg":
		return fmt.Appendf(nil, "63.90 63.12 60.01 64/%d %d\n", len(n.processes()), 4000), nil
	case "stat":
		return fmt.Appendf(nil, "cpu  900000 0 20000 100000 0 0 0 0 0 0\ncpu0 900000 0 20000 100000 0 0 0 0 0 0\nintr 1 0\nctxt 123456789\nbtime %d\nprocesses 54321\nprocs_running 64\nprocs_blocked 0\nsoftirq 10 1 1 1 1 1 1 1 1 1 1\n", n.boot.Unix()), nil
	case "meminfo":
		return []byte("MemTotal:       263974300 kB\nMemFree:        100000000 kB\nMemAvailable:   190000000 kB\nBuffers:          200000 kB\nCached:         60000000 kB\nSwapTotal:             0 kB\nSwapFree:              0 kB\n"), nil
	case "vmstat":
		return []byte("nr_free_pages 25000000\npgfault 123456789\npgmajfault 1234\n"), nil
	case "cpuinfo":
		return []byte("processor\t: 0\nvendor_id\t: AuthenticAMD\nmodel name\t: AMD EPYC 7713\ncpu MHz\t\t: 2000.000\n\n"), nil
	case "sys/kernel/hostname":
		return []byte(n.Name + "\n"), nil
	case "sys/kernel/osrelease":
		return []byte(release + "\n"), nil
	case "sys/kernel/pid_max":
		return fmt.Appendf(nil, "%d\n", pidMax), nil
	}
	return nil, syscall.ENOENT
}
