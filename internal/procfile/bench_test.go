package procfile

import (
	"os"
	"testing"
)

// What is done with the files of each process of a cluster.
func BenchmarkProcessFiles(b *testing.B) {
	read := func(name string) []byte {
		raw, err := os.ReadFile("/proc/self/" + name)
		if err != nil {
			b.Fatal(err)
		}
		return raw
	}
	stat, status, cgroup := read("stat"), read("status"), read("cgroup")
	m := testMap()
	var dst []byte
	for name, f := range map[string]func(){
		"rewrite stat":   func() { dst, _ = rewriteStat(m, dst[:0], stat) },
		"rewrite status": func() { dst, _ = rewriteStatus(m, dst[:0], status) },
		"rewrite cgroup": func() { dst, _ = rewriteCgroup(m, dst[:0], cgroup) },
		"mask stat":      func() { dst, _ = maskStat(dst[:0], stat) },
		"parse stat":     func() { ParseStat(m, stat) },
		"start time":     func() { StartTime(stat) },
		"owned alone":    func() { OwnedAlone(status, 1000, 1000) },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				f()
			}
		})
	}
}
