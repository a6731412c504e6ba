package cgroup

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// A record is one of testdata/corpus.txt.
type record struct {
	line         int
	origin       string
	text, wanted string
}

// corpus reads testdata/corpus.txt, which says what its records are.
func corpus(t testing.TB) (records []record) {
	t.Helper()
	text, err := os.ReadFile("testdata/corpus.txt")
	if err != nil {
		t.Fatal(err)
	}
	var r record
	for i, line := range strings.Split(string(text), "\n") {
		kind, value, _ := strings.Cut(line, ":")
		switch {
		case strings.HasPrefix(line, "#"), line == "":
		case kind == "from", kind == "form", kind == "ours":
			r = record{line: i + 1, origin: strings.TrimSpace(value)}
		case kind == "want":
			r.wanted = strings.TrimSpace(value)
			if r.origin == "" || r.text == "" {
				t.Fatalf("testdata/corpus.txt:%d: a record without an origin or a file", i+1)
			}
			records = append(records, r)
			r = record{}
		default:
			r.text += line + "\n"
		}
	}
	if len(records) < 90 {
		t.Fatalf("the corpus has %d records only", len(records))
	}
	return records
}

// fields are those of p that are not empty, as the corpus writes them.
func fields(p Place) string {
	var f []string
	add := func(name, value string) {
		if value != "" {
			f = append(f, name+"="+value)
		}
	}
	add("scheduler", p.Scheduler)
	add("job", p.Job)
	add("step", p.Step)
	add("task", p.Task)
	if p.Slice != "-.slice" {
		add("slice", p.Slice)
	}
	add("unit", p.Unit)
	add("userunit", p.UserUnit)
	add("session", p.Session)
	if p.HasOwner {
		add("owner", fmt.Sprint(p.OwnerUID))
	}
	add("userjob", p.UserJob)
	add("container", p.Container)
	add("runtime", p.Runtime)
	add("pod", p.Pod)
	if p.Delegated {
		f = append(f, "delegated")
	}
	return strings.Join(f, " ")
}

func TestCorpus(t *testing.T) {
	for _, r := range corpus(t) {
		if got := fields(Parse([]byte(r.text))); got != r.wanted {
			t.Errorf("testdata/corpus.txt:%d: %s\n%sgot  %s\nwant %s", r.line, r.origin, r.text, got, r.wanted)
		}
	}
}

// The limits hold, and what is beyond them is passed over.
func TestLimits(t *testing.T) {
	job := "0::/system.slice/slurmstepd.scope/job_42\n"
	for name, c := range map[string]struct{ text, job string }{
		"empty":            {"", ""},
		"no newline":       {strings.TrimSuffix(job, "\n"), "42"},
		"a long line":      {"1:x:/" + strings.Repeat("a", maxLine) + "\n" + job, "42"},
		"many paths":       {manyPaths(maxPaths) + job, ""},
		"a deep path":      {"0::" + strings.Repeat("/a.slice", maxDepth) + "/slurmstepd.scope/job_42\n", ""},
		"a long element":   {"0::/" + strings.Repeat("a", 250) + ".slice/slurmstepd.scope/job_42\n", ""},
		"a long file":      {strings.Repeat("1:x:/\n", maxText/6+1) + job, ""},
		"no colons":        {"/system.slice/slurmstepd.scope/job_42\n", ""},
		"one colon":        {"0:/system.slice/slurmstepd.scope/job_42\n", ""},
		"not from root":    {"0::system.slice/slurmstepd.scope/job_42\n", ""},
		"NUL":              {"0::/system.slice/slurmstepd.scope/job_42\x00\n", ""},
		"a carriage":       {"0::/system.slice/slurmstepd.scope/job_42\r\n", ""},
		"colons in a path": {"4:memory:/slurm/uid_1/job_42/a:b:c\n", "42"},
		"dots inside":      {"0::/system.slice/../slurmstepd.scope/job_42\n", ""},
	} {
		if got := Parse([]byte(c.text)); got.Job != c.job {
			t.Errorf("%s: job %q, want %q", name, got.Job, c.job)
		}
	}
}

func manyPaths(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "%d:x:/p%d\n", i+1, i)
	}
	return b.String()
}

// FuzzParse: whatever a leaf sends, Parse returns names that can be printed, and a job
// only of a path that begins where root alone makes cgroups.
func FuzzParse(f *testing.F) {
	for _, r := range corpus(f) {
		f.Add([]byte(r.text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		p := Parse(text)
		for _, name := range []string{p.Scheduler, p.Job, p.Step, p.Task, p.UserJob, p.Slice, p.Unit, p.UserUnit, p.Session, p.Container, p.Runtime, p.Pod} {
			if len(name) > maxName {
				t.Errorf("a name of %d bytes", len(name))
			}
			for i := range len(name) {
				if !isAlnum(name[i]) && !strings.ContainsRune(`.-_:@\[]+`, rune(name[i])) {
					t.Fatalf("%q in %+v", name, p)
				}
			}
		}
		if (p.Job == "") != (p.Scheduler == "") || p.Slice == "" {
			t.Errorf("%+v", p)
		}
		// The same file of a user who has made it all below their own service manager
		// has no job in it.
		var below []byte
		for _, line := range strings.SplitAfter(string(text), "\n") {
			number, rest, _ := strings.Cut(line, ":")
			controllers, path, ok := strings.Cut(rest, ":/")
			if ok {
				below = append(below, number+":"+controllers+":/user.slice/user-1001.slice/user@1001.service/"+path...)
			}
		}
		if q := Parse(below); q.Job != "" || q.Container != "" && !q.Delegated {
			t.Errorf("%q: %+v", below, q)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	for name, text := range map[string]string{
		"root":  "0::/\n",
		"v2":    "0::/system.slice/slurmstepd.scope/job_4711/step_0/user/task_0\n",
		"v1":    "12:pids:/system.slice/slurmd.service\n11:freezer:/slurm/uid_1001/job_42/step_0\n10:memory:/slurm/uid_1001/job_42/step_0/task_0\n9:cpuset:/slurm/uid_1001/job_42/step_0\n8:net_cls,net_prio:/\n7:devices:/system.slice/slurmd.service\n6:cpu,cpuacct:/slurm/uid_1001/job_42/step_0/task_0\n1:name=systemd:/system.slice/slurmd.service\n",
		"login": "0::/user.slice/user-1001.slice/session-2.scope\n",
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Parse([]byte(text))
			}
		})
	}
}
