package main

import (
	"bufio"
	"encoding/json"
	"io"
	"strconv"
	"time"
)

// envelopeVersion is that of the JSON that commands print. It changes when what is
// there comes to mean something else, not when something is added.
const envelopeVersion = 1

// An envelope is an answer in JSON: when it was asked for, what it lacks, and rows.
type envelope struct {
	Version int           `json:"version"`
	At      time.Time     `json:"at"`
	Missing []missingNode `json:"missing"`
	Lacking []missingNode `json:"lacking,omitempty"`
	Stale   []staleNode   `json:"stale"`
	Blind   bool          `json:"no_nodes,omitempty"` // there are none in the view
}

func newEnvelope(at time.Time, g gaps) envelope {
	e := envelope{Version: envelopeVersion, At: at.UTC().Truncate(time.Millisecond), Missing: g.missing, Lacking: g.lacking, Stale: g.stale, Blind: g.blind}
	if e.Missing == nil {
		e.Missing = []missingNode{}
	}
	if e.Stale == nil {
		e.Stale = []staleNode{}
	}
	return e
}

// write prints it as one object with the rows, a line each, which row makes from
// their number.
func (e envelope) write(out io.Writer, n int, row func(i int) map[string]any) error {
	w := bufio.NewWriter(out)
	head, err := json.Marshal(e)
	if err != nil {
		return err
	}
	w.Write(head[:len(head)-1])
	w.WriteString(`,"rows":[`)
	for i := range n {
		text, err := json.Marshal(row(i))
		if err != nil {
			return err
		}
		if i > 0 {
			w.WriteByte(',')
		}
		w.WriteByte('\n')
		w.Write(text)
	}
	w.WriteString("\n]}\n")
	return w.Flush()
}

// jsonCell is a cell of a table: null where it is not known.
func jsonCell(text string, number bool) any {
	switch {
	case text == "-":
		return nil
	case number:
		return jsonNumber(text)
	}
	return text
}

// jsonNumber is a number, or the text where it is none.
func jsonNumber(text string) any {
	if _, err := strconv.ParseFloat(text, 64); err == nil && json.Valid([]byte(text)) {
		return json.Number(text)
	}
	return text
}
