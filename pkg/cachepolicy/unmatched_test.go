package cachepolicy

import (
	"os"
	"strconv"
	"testing"

	"github.com/aggrfs/aggrfs/internal/procpath"
)

// A pattern that stands for no file is told from one that does.
func TestUnmatched(t *testing.T) {
	const fine = "fine"
	for pattern, want := range map[string]string{
		"pid/environ": "<pid>/environ", "[0-9]*/environ": "<pid>/environ", "pids/fd/*": "<pid>/fd/*", "$pid/task/<tid>/stat": "<pid>/task/<tid>/stat",
		"{<pid>,pid}/environ": "<pid>/environ", "environ": "<pid>/environ", "proc/<pid>/environ": "<pid>/environ", "proc/meminfo": "meminfo",
		"self/environ": "<pid>/environ", "<pid>/meminfo": "meminfo", "<pid>/enviorn": "<pid>/environ", "pid/enviorn": "<pid>/environ", "meminf": "meminfo",
		"<pid>/environ/x": "<pid>/environ", "<pid>/task/environ": "<pid>/task/<tid>/environ", "<pid>/task/tid/environ": "<pid>/task/<tid>/environ",
		"<pid>/xyzzy": "", "xyzzy": "", "xyzzy/tcp": "", "x*/environ": "<pid>/environ",
		"<pid>/{environ,cmdline}": fine, "*/environ": fine, "12/environ": fine, "1*/environ": fine, "**/environ": fine, "**": fine, "*": fine, "<pid>": fine,
		"<pid>/task/<tid>/children": fine, "<pid>/task/*/environ": fine, "<pid>/*": fine, "<pid>/**": fine, "<pid>/net/tcp": fine, "net/tcp": fine,
		"sys/kernel/x": fine, "self": fine, "<pid>/fd/*": fine, "<pid>/e*": fine, "mem*": fine, "kmsg": fine, "fs/lustre/**": fine, "meminfo/**": fine,
	} {
		p, err := procpath.Compile(pattern)
		if err != nil {
			t.Errorf("%s: %v", pattern, err)
			continue
		}
		text, near, is := Unmatched(p)
		if is == (want == fine) || is && near != want {
			t.Errorf("%s: %q %q %v, want %q", pattern, text, near, is, want)
		}
	}
}

// What this machine's kernel has is known.
func TestUnmatchedHere(t *testing.T) {
	for dir, prefix := range map[string]string{"/proc": "", "/proc/self": "<pid>/", "/proc/thread-self": "<pid>/task/<tid>/"} {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if _, err := strconv.Atoi(e.Name()); err == nil {
				continue
			}
			p, err := procpath.Compile(prefix + e.Name())
			if err != nil {
				t.Fatal(err)
			}
			if text, near, is := Unmatched(p); is {
				t.Errorf("%s is none of /proc's (%q)", text, near)
			}
		}
	}
}
