package procfs9p

import (
	"path"
	"strings"
)

// A rule names what is never exported: it does not exist and is not listed.
type rule struct {
	pattern string // as path.Match has it
	reason  string
}

// hiddenRoot is relative to the root. What is mounted below the procfs
// (sys/fs/binfmt_misc, fs/nfsd) does not exist for another reason: no open
// crosses a mount.
var hiddenRoot = []rule{
	{"kcore", "all of the kernel's memory"},
	{"vmcore", "all of the memory of the kernel that crashed"},
	{"kmsg", "the kernel's log; reading takes messages away from its reader"},
	{"kpagecount", "physical memory, page by page"},
	{"kpageflags", "physical memory, page by page"},
	{"kpagecgroup", "physical memory, page by page"},
	{"sysrq-trigger", "commands to the kernel"},
	{"bus/pci", "configuration space of devices; reading some registers hangs a device"},
	{"acpi/event", "reading takes events away from their reader"},
	{"fs/nfsd", "the NFS server's controls; reading some of them acts"},
	{"xen", "the hypervisor's channels; reading takes messages away from their reader"},
	{"ppc64/rtas", "the firmware's channels; reading takes events away from their reader"},
	{"powerpc/rtas", "the firmware's channels; reading takes events away from their reader"},
	{"sys/vm/stat_refresh", "reading makes every processor of the node do work"},
}

// hiddenProcess is relative to a process directory, and to task/<tid> in it.
var hiddenProcess = []rule{
	{"mem", "the process's memory"},
	{"pagemap", "where the process's memory lies"},
	{"clear_refs", "a command to the kernel"},
	{"net/rpc/*/channel", "reading takes requests away from the daemon that answers them"},
}

// ownFiles show what belongs to the reading thread beyond its effective ids,
// groups and capabilities: served as somebody else they would show the leaf's.
// They are for the superuser alone. What else the kernel looks at beyond these
// is: which process reads (selfLinks, ownprocess.go); whose ancestor it is, to
// Yama, and to it the leaf is nobody's; its root directory, its namespaces and its
// security label, which are the leaf's, so that it has to run in the node's own.
var ownFiles = map[string]string{
	"keys": "the keyrings of the reader's real user and session, which are the leaf's (keyrings(7))",
}

// hidden tells whether the path rel is never exported. rel is relative to the
// root, or to a process directory.
func hidden(process bool, rel string) bool {
	rules := hiddenRoot
	if process {
		rules = hiddenProcess
		rel = inThread(rel)
	}
	for _, r := range rules {
		if r.pattern == rel || strings.HasPrefix(rel, r.pattern) && rel[len(r.pattern)] == '/' {
			return true
		}
		if strings.Contains(r.pattern, "*") {
			if ok, err := path.Match(r.pattern, rel); ok && err == nil {
				return true
			}
		}
	}
	return false
}

// hiddenBelow tells whether rel, or a directory on the way to it, is hidden.
func hiddenBelow(process bool, rel string) bool {
	for i := range len(rel) + 1 {
		if (i == len(rel) || rel[i] == '/') && hidden(process, rel[:i]) {
			return true
		}
	}
	return false
}

// inThread is rel without a leading task/<tid>/: a thread's directory holds
// what a process's does.
func inThread(rel string) string {
	if tail, ok := strings.CutPrefix(rel, "task/"); ok {
		if _, file, ok := strings.Cut(tail, "/"); ok {
			return file
		}
	}
	return rel
}
