package report

import (
	"fmt"
	"time"
)

// An Age is how long ago something was. Zero is not known.
type Age time.Duration

// String is the age in seconds, "3.2s".
func (a Age) String() string {
	if a == 0 {
		return ""
	}
	return fmt.Sprintf("%.1fs", time.Duration(a).Seconds())
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (a *Age) UnmarshalText(text []byte) error { return parseSpan((*time.Duration)(a), text) }

// A Latency is how long an answer took. Zero is not known.
type Latency time.Duration

// String is the latency in milliseconds, "0.25ms".
func (l Latency) String() string {
	if l == 0 {
		return ""
	}
	return fmt.Sprintf("%.2fms", float64(l)/float64(time.Millisecond))
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (l *Latency) UnmarshalText(text []byte) error { return parseSpan((*time.Duration)(l), text) }

// parseSpan parses a duration that is known, however short it is.
func parseSpan(d *time.Duration, text []byte) (err error) {
	*d, err = time.ParseDuration(string(text))
	if err == nil && *d < 0 {
		err = fmt.Errorf("%q is below zero", text)
	}
	*d = max(*d, 1)
	return err
}
