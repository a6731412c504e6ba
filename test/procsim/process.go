package procsim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
)

// process is a simulated process.
type process struct {
	id        uint64 // of its directory
	pid, ppid int
	uid       uint32
	job       int // Slurm's; 0 is none
	name      string
	args      string // as cmdline has it
	state     byte
	start     uint64 // ticks since the boot
	user, sys uint64 // ticks
	size, rss uint64 // pages
	switches  uint64
	startCode uint64
	kernel    bool // a kernel thread
	swept     texts
}

// texts are the files that sweeps bring.
type texts struct{ stat, statm, status, cmdline []byte }

// programs are what compute nodes run, and how often.
var programs = []struct {
	weight     int
	name, args string // %d is a number that differs
	user       bool   // a user's, in a job
}{
	{3, "sshd", "sshd: user [priv]", false},
	{2, "systemd", "/lib/systemd/systemd --user", false},
	{2, "slurmstepd", "slurmstepd: [%d.0]", false},
	{1, "munged", "/usr/sbin/munged", false},
	{1, "node_exporter", "/usr/bin/prometheus-node-exporter --collector.textfile.directory /var/lib/prometheus", false},
	{3, "bash", "/bin/bash /var/spool/slurmd/job%d/slurm_script", true},
	{20, "lmp_mpi", "/opt/lammps/bin/lmp_mpi -in in.run%d -var seed %d -log none -screen none -nocite", true},
	{10, "python3", "python3 -u /home/ann/project/train.py --epochs 90 --batch-size 256 --workers 16 --checkpoint /scratch/run%d", true},
	{8, "pw.x", "/opt/qe/7.2/bin/pw.x -nk 4 -ndiag 16 -input scf.%d.in", true},
	{6, "orted", "/opt/openmpi/bin/orted -mca ess slurm -mca ess_base_jobid %d -mca ess_base_vpid 1 -mca ess_base_num_procs 64", true},
	{4, "java", "/usr/lib/jvm/java-17/bin/java -Xmx16g -XX:+UseParallelGC -Dspark.id=%d -cp /opt/spark/jars/* org.apache.spark.executor.CoarseGrainedExecutorBackend", true},
}

var kernelThreads = []string{"kworker/%d:1-events", "ksoftirqd/%d", "migration/%d", "cpuhp/%d", "kworker/%d:0H-kblockd", "rcuop/%d", "irq/%d-nvme0q"}

// newProcess makes a process with that pid, which starts at that time.
func newProcess(rng *rand.Rand, pid int, kernel bool, now uint64) *process {
	p := &process{
		id: rng.Uint64() | 1, pid: pid, ppid: 1, state: 'S', start: now, kernel: kernel,
		user: uint64(rng.IntN(100000)), sys: uint64(rng.IntN(10000)), switches: uint64(rng.IntN(1000000)),
		startCode: 0x550000000000 + rng.Uint64N(1<<40)&^0xfff,
	}
	if kernel {
		p.ppid, p.user = 2, 0
		p.name = fmt.Sprintf(kernelThreads[rng.IntN(len(kernelThreads))], rng.IntN(64))
		return p
	}
	total := 0
	for _, w := range programs {
		total += w.weight
	}
	pick := rng.IntN(total)
	for _, w := range programs {
		if pick -= w.weight; pick >= 0 {
			continue
		}
		p.name = w.name
		p.args = strings.ReplaceAll(w.args, "%d", strconv.Itoa(rng.IntN(1e6)))
		p.args = strings.ReplaceAll(p.args, " ", "\x00") + "\x00"
		if w.user {
			p.uid, p.job = uint32(1000+rng.IntN(40)), 100000+rng.IntN(1000)
			p.state = "RRS"[rng.IntN(3)]
		}
		break
	}
	p.size = uint64(2000 + rng.IntN(2000000))
	p.rss = p.size / uint64(2+rng.IntN(20))
	return p
}

// run lets the process run on.
func (p *process) run(rng *rand.Rand) {
	p.user += uint64(rng.IntN(300))
	p.sys += uint64(1 + rng.IntN(20))
	p.switches += uint64(rng.IntN(5000))
	if !p.kernel {
		p.rss = max(100, p.rss+uint64(rng.IntN(100))-50)
	}
	p.render()
}

// render makes the texts that sweeps bring, in one piece.
func (p *process) render() {
	b := p.appendStat(make([]byte, 0, 2048))
	stat := len(b)
	b = p.appendStatm(b)
	statm := len(b)
	b = p.appendStatus(b)
	status := len(b)
	b = slices.Clone(append(b, p.args...))
	p.swept = texts{b[:stat:stat], b[stat:statm:statm], b[statm:status:status], b[status:]}
}

// appendStat appends the file of proc_pid_stat(5).
func (p *process) appendStat(b []byte) []byte {
	flags, exitSignal := 4194560, 17
	code, stack := p.startCode, p.startCode+0x2aaaaaaaa000
	vsize, limit := p.size*4096, "18446744073709551615"
	if p.kernel {
		flags, exitSignal, code, stack = 69238880, 17, 0, 0
	}
	end, arg := code, stack
	if code > 0 {
		end, arg = code+0x123456, stack+2200
	}
	return fmt.Appendf(b, "%d (%s) %c %d %d %d 0 -1 %d %d 0 12 0 %d %d 0 0 20 0 1 0 %d %d %d %s %d %d %d 0 0 0 0 4096 81922 1 0 0 %d %d 0 0 0 0 0 %d %d %d %d %d %d %d 0\n",
		p.pid, p.name, p.state, p.ppid, p.pid, p.pid, flags, p.switches/3, p.user, p.sys, p.start, vsize, p.rss, limit,
		code, end, stack, exitSignal, p.pid%64, end+4096, end+81920, end+300000, arg, arg+120, arg+120, arg+160)
}

// appendStatm appends the file of proc_pid_statm(5).
func (p *process) appendStatm(b []byte) []byte {
	if p.kernel {
		return append(b, "0 0 0 0 0 0 0\n"...)
	}
	return fmt.Appendf(b, "%d %d %d 193 0 %d 0\n", p.size, p.rss, p.rss/3, p.size/4)
}

// appendStatus appends the file of proc_pid_status(5).
func (p *process) appendStatus(b []byte) []byte {
	word := "S (sleeping)"
	if p.state == 'R' {
		word = "R (running)"
	}
	b = fmt.Appendf(b, "Name:\t%s\nUmask:\t0022\nState:\t%s\nTgid:\t%[3]d\nNgid:\t0\nPid:\t%[3]d\nPPid:\t%[4]d\nTracerPid:\t0\nUid:\t%[5]d\t%[5]d\t%[5]d\t%[5]d\nGid:\t%[5]d\t%[5]d\t%[5]d\t%[5]d\nFDSize:\t%[6]d\nGroups:\t%[5]d \nNStgid:\t%[3]d\nNSpid:\t%[3]d\nNSpgid:\t%[3]d\nNSsid:\t%[3]d\n",
		p.name, word, p.pid, p.ppid, p.uid, 64<<(p.pid%3))
	if !p.kernel {
		kib := p.size * 4
		rss := p.rss * 4
		b = fmt.Appendf(b, "VmPeak:\t%8d kB\nVmSize:\t%8d kB\nVmLck:\t       0 kB\nVmPin:\t       0 kB\nVmHWM:\t%8d kB\nVmRSS:\t%8d kB\nRssAnon:\t%8d kB\nRssFile:\t%8d kB\nRssShmem:\t       0 kB\nVmData:\t%8d kB\nVmStk:\t     132 kB\nVmExe:\t     772 kB\nVmLib:\t%8d kB\nVmPTE:\t%8d kB\nVmSwap:\t       0 kB\nHugetlbPages:\t       0 kB\nCoreDumping:\t0\nTHP_enabled:\t1\n",
			kib+kib/8, kib, rss+rss/16, rss, rss-rss/3, rss/3, kib/3, kib/16%100000, kib/512)
	}
	caps := "0000000000000000"
	if p.uid == 0 {
		caps = "000001ffffffffff"
	}
	return fmt.Appendf(b, "Threads:\t%d\nSigQ:\t%d/1030442\nSigPnd:\t0000000000000000\nShdPnd:\t0000000000000000\nSigBlk:\t%016x\nSigIgn:\t0000000000001000\nSigCgt:\t%016x\nCapInh:\t0000000000000000\nCapPrm:\t%[5]s\nCapEff:\t%[5]s\nCapBnd:\t000001ffffffffff\nCapAmb:\t0000000000000000\nNoNewPrivs:\t0\nSeccomp:\t0\nSeccomp_filters:\t0\nSpeculation_Store_Bypass:\tthread vulnerable\nSpeculationIndirectBranch:\tconditional enabled\nCpus_allowed:\tffffffff,ffffffff\nCpus_allowed_list:\t0-63\nMems_allowed:\t00000000,00000003\nMems_allowed_list:\t0-1\nvoluntary_ctxt_switches:\t%[6]d\nnonvoluntary_ctxt_switches:\t%[7]d\n",
		1+p.pid%4, p.pid%7, uint64(p.pid%2)<<16, p.startCode>>20, caps, p.switches, p.switches/40)
}
