package ps

import (
	"fmt"
	"io"
	"strings"
	"testing"
)

// BenchmarkPS reads and prints a table of 20,000 processes.
func BenchmarkPS(b *testing.B) {
	var text strings.Builder
	text.WriteString(psTable[:strings.IndexByte(psTable, '\n')+1])
	for i := range 20000 {
		fmt.Fprintf(&text, "n%04d %7d %10d %10d %-8s S %10.2f %10d 2026-11-25T08:%02d:%02dZ /usr/local/bin/solver --steps %d --input /home/ann/model-%d.in\n", i/200, i, 10000000+i, 10000001, "ann", float64(i)/7, i*4, i/60%60, i%60, i*10, i)
	}
	q, _ := Options{Full: true}.parse()
	b.ReportAllocs()
	for b.Loop() {
		rows, _, err := q.read(strings.NewReader(text.String()), newProgress(nil))
		if err != nil {
			b.Fatal(err)
		}
		if err := write(io.Discard, rows, q.columns, true, screen{}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/20000, "ns/row")
}
