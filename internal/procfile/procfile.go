// Package procfile is the one place that knows the files of /proc: what each is,
// how it is parsed, masked, rewritten and summed.
//
// # The table
//
// Each file, directory or link of which something must be known has one row, a
// [File], in one of two tables: [Process] is of what a process's or a thread's
// directory holds, [Root] of what the root of a procfs holds. A kernel file that
// has code of its own has a Go file of its own, with its row; the rows of all others
// stand in process.go and root.go. What is in neither table is treated with the most
// care: it may block, is not shown to all, and passes as it is.
//
// So a file that a new kernel comes to have is a row there, if anything is known of it,
// and a Go file with the row in it once it has to be parsed, masked, rewritten or summed.
//
// # Parsing
//
// The text of a file comes from another machine in most uses, and is not to be
// trusted. The parsers are bounded, allocate nothing that a few bytes could make
// large, and never panic. Where a wrong guess could name a process of another node,
// or show what the kernel keeps back, a file that has not its kernel form is refused
// (ok is false). A procfs of this machine is read by github.com/prometheus/procfs
// (local.go), which is also what the tests hold the parsers against.
//
// # Rewriting
//
// A file of /proc/<pid> names processes by its node's native pids, counts time in
// that node's ticks since that node's boot, and memory in that node's pages. A tool
// on the reader's machine knows one kernel: its own. So each number that would be
// misread is replaced, field by field, and nothing else is touched: see [Map] and
// [Rewriter].
//
// # Summing
//
// A tool on the merged tree reads /proc/stat, /proc/meminfo and their like as if
// the cluster were one machine: see [Sum]. What is a quantity adds up; each "cpuN"
// line of stat and each entry of cpuinfo is one node, so that a display of single
// processors (top's "1") shows nodes; what belongs to the reader's own clock (btime)
// is the reader's. A program that reads a sum twice takes the difference for what
// happened meanwhile. So a node's part must not lack its counters while the node does
// not answer, nor start from zero when it was booted anew: [Counters] remembers them.
//
// All functions are pure, but for those that read this machine's procfs. They may be
// called concurrently, and what appends to dst keeps nothing.
package procfile
