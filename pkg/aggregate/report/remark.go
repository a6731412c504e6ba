package report

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/aggrfs/aggrfs/internal/plaintext"
)

// A Remark is what a table of processes (cluster/ps, cluster/cgroups) lacks of a node. Remarks
// are a line each behind the rows, and come out of the same sweep:
//
//	# missing NODE REASON   none of the node's processes are among the rows
//	# lacking NODE REASON   some of them are not
//	# stale NODE AGE        its rows are that old, since it did not answer in time
//
// A table that has rates ends with a line "# interval TIME" as well: over which time they are, or
// "-" if there are none yet.
//
// No row begins with "#".
type Remark struct {
	Kind   Kind
	Node   string
	Reason string // of Missing and Lacking
	Age    Age    // of Stale; zero is not known
}

// A Kind is what a remark is about.
type Kind string

// The kinds of remarks.
const (
	Missing Kind = "missing"
	Lacking Kind = "lacking"
	Stale   Kind = "stale"
)

// AppendText writes the line.
func (r Remark) AppendText(b []byte) []byte {
	what := plaintext.Escape(r.Reason)
	if r.Kind == Stale {
		what = r.Age.String()
	}
	return fmt.Appendf(b, "# %s %s %s\n", r.Kind, r.Node, what)
}

// ParseRemark reads such a line. One of an unknown kind is for a later version of this
// program, and not ok.
func ParseRemark(line string) (r Remark, ok bool, err error) {
	line = strings.TrimLeft(strings.TrimPrefix(strings.TrimSuffix(line, "\n"), "#"), " ")
	kind, line, _ := strings.Cut(line, " ")
	node, what, _ := strings.Cut(line, " ")
	if node == "" {
		return r, false, nil
	}
	r = Remark{Kind: Kind(kind), Node: node}
	switch r.Kind {
	case Missing, Lacking:
		if r.Reason = plaintext.Unescape(what); what == "" {
			r.Reason = "it did not answer"
		}
	case Stale:
		if err := r.Age.UnmarshalText([]byte(what)); err != nil {
			return Remark{}, false, fmt.Errorf("how old the rows of %s are: %w", node, err)
		}
	default:
		return Remark{}, false, nil
	}
	return r, true, nil
}

// MarshalJSON implements json.Marshaler.
func (r Remark) MarshalJSON() ([]byte, error) {
	object := struct {
		Node   string `json:"node"`
		Reason string `json:"reason,omitempty"`
		Age    string `json:"age,omitempty"`
	}{Node: r.Node, Reason: plaintext.Escape(r.Reason)}
	if r.Kind == Stale {
		object.Age = plaintext.Cell(r.Age.String())
	}
	return json.Marshal(object)
}
