package report

import "time"

// A Part is a row of cluster/status: how a part of the front end is. There may be several rows of one
// part, as of nodes that are down for different reasons.
type Part struct {
	Name   string    `column:"PART,required"`
	State  string    `column:"STATE,required"` // OK, or what it is instead
	Since  time.Time `column:"SINCE"`
	Detail string    `column:"DETAIL"` // how it is, or what is wrong with it and what to do
}

// OK is the state of a part that is well.
const OK = "ok"

// EncodeStatus writes cluster/status.
func EncodeStatus(parts []Part) []byte { return encode(parts...) }

// ParseStatus reads cluster/status.
func ParseStatus(text []byte) ([]Part, error) {
	parts, _, err := readAll[Part]("cluster/status", text)
	return parts, err
}
