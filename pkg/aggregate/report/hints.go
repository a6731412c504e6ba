package report

import (
	"bytes"
	"fmt"
	"time"

	"github.com/aggrfs/aggrfs/internal/plaintext"
)

// Hints are what a front end tells commands: a line a hint, its
// name and its value.
type Hints struct {
	// Connect, Read and Sweep are the times that an exchange of it with a node may take.
	Connect, Read, Sweep time.Duration
	Remarks              bool // its tables of processes say what they lack, see Remark
}

// EncodeHints writes cluster/hints.
func EncodeHints(h Hints) []byte {
	remarks := "no"
	if h.Remarks {
		remarks = "yes"
	}
	return plaintext.Table([][]string{
		{"connect", h.Connect.String()}, {"read", h.Read.String()}, {"sweep", h.Sweep.String()}, {"remarks", remarks},
	})
}

// MaxPatience bounds the times that hints may tell: what a front end can make others wait.
const MaxPatience = time.Minute

// ParseHints reads cluster/hints. What it does not say, and what makes no sense, is zero: the
// hints of another version are no reason not to work with it.
func ParseHints(text []byte) (h Hints) {
	for line := range bytes.Lines(text) {
		var name, value string
		if n, _ := fmt.Sscan(string(line), &name, &value); n != 2 {
			continue
		}
		span, _ := time.ParseDuration(value)
		span = max(0, min(span, MaxPatience))
		switch name {
		case "connect":
			h.Connect = span
		case "read":
			h.Read = span
		case "sweep":
			h.Sweep = span
		case "remarks":
			h.Remarks = value == "yes"
		}
	}
	return h
}
