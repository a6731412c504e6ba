package report

import "time"

// A Part is a row of cluster/status: how a part of the front end is.
type Part struct {
	Name   string    `column:"PART"`
	State  string    `column:"STATE"` // OK, or what it is instead
	Since  time.Time `column:"SINCE"`
	Detail string    `column:"DETAIL"` // what is wrong with it, or how it is
}

// OK is the state of a part that is well.
const OK = "ok"

// EncodeStatus writes cluster/status.
func EncodeStatus(parts []Part) []byte { return encode(parts...) }
