package report

import "github.com/aggrfs/aggrfs/pkg/aggregate/gpid"

// A Where is the row of cluster/where/ID: where a process is, and what it is.
type Where struct {
	Node    string    `column:"NODE"`
	PID     gpid.PID  `column:"PID"`     // as its node's kernel knows it
	GPID    gpid.GPID `column:"GPID"`    // in the merged tree
	User    string    `column:"USER"`    // the owner's name, or number
	Command string    `column:"COMMAND"` // its arguments, or its name in brackets; "" is not known
}

// EncodeWhere writes cluster/where/ID.
func EncodeWhere(row Where) []byte { return encode(row) }

// ParseWhere reads cluster/where/ID.
func ParseWhere(text []byte) ([]Where, error) {
	rows, _, err := readAll[Where]("cluster/where", text)
	return rows, err
}
