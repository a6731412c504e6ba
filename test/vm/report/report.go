// Package report is what the guest of package vm says to its host: a line for
// each check, on a serial console that the kernel writes to as well. A line is
// Mark and a Result in JSON.
package report

import (
	"encoding/json"
	"strings"
	"time"
)

// Mark begins a line of the guest's.
const Mark = "vm-check: "

// End is the name of the last result: without it the guest has not got to its end.
const End = "end"

// maxDetail is the longest detail that is sent, in bytes: the console is slow.
const maxDetail = 4096

// A Result is what came of one check.
type Result struct {
	Name   string
	Failed bool          `json:",omitempty"`
	Detail string        `json:",omitempty"` // what failed, or what was measured
	Took   time.Duration // in the guest
}

// Line is a result as it is sent, with its newline.
func (r Result) Line() []byte {
	if len(r.Detail) > maxDetail {
		r.Detail = r.Detail[:maxDetail] + " ..."
	}
	text, err := json.Marshal(r)
	if err != nil {
		panic(err) // it has strings and numbers only
	}
	return append(append([]byte(Mark), text...), '\n')
}

// Parse finds the results in what the console has shown, in order. What begins
// like one and cannot be read is a failed one.
func Parse(console string) (results []Result) {
	for line := range strings.Lines(console) {
		_, text, ok := strings.Cut(strings.TrimRight(line, "\r\n"), Mark)
		if !ok {
			continue
		}
		var r Result
		if err := json.Unmarshal([]byte(text), &r); err != nil {
			r = Result{Name: "console", Failed: true, Detail: err.Error() + ": " + text}
		}
		results = append(results, r)
	}
	return results
}
