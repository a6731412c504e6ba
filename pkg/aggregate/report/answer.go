package report

import (
	"bufio"
	"encoding/json"
	"io"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/aggrfs/aggrfs/internal/plaintext"
)

// answerVersion is that of the JSON that commands print. It changes when what is there comes
// to mean something else, not when something is added.
const answerVersion = 1

// An Answer is what commands print in JSON beside the rows: when it was asked for, and what it
// lacks.
type Answer struct {
	At      time.Time
	Remarks []Remark
	NoNodes bool // there are none in the view
	// Sampled is of rows that have rates; Interval is over which time they are, 0 for none yet.
	Sampled  bool
	Interval time.Duration
}

// interval is the interval in seconds; null is that there are no rates yet.
func (a Answer) interval() json.RawMessage {
	switch {
	case !a.Sampled:
		return nil
	case a.Interval == 0:
		return json.RawMessage("null")
	}
	return strconv.AppendFloat(nil, a.Interval.Seconds(), 'f', 3, 64)
}

// WriteRows prints the answer with rows that have the columns of their text, by their names
// in lower case; null is not known.
func WriteRows[R any](out io.Writer, a Answer, rows []R) error {
	fields := fieldsOf[R]()
	return a.Write(out, len(rows), func(i int) map[string]any {
		object := make(map[string]any, len(fields))
		for k, f := range fields {
			var value any
			switch cell := f.cell(&rows[i]); {
			case cell == "" && f.option == "optional":
				continue
			case cell == "":
			case f.isNumber():
				value = json.Number(cell)
			case f.option == "fact", f.option == "optional", k == len(fields)-1:
				value = plaintext.Escape(cell)
			default:
				value = plaintext.Cell(cell)
			}
			object[f.key()] = value
		}
		return object
	})
}

// key is what the field is called in JSON: as its column, in small letters. A pid that only its node
// knows is npid beside a gpid, as it is in the rows of aggrfs ps.
func (f *field) key() string {
	if f.name == "PID" {
		return "npid"
	}
	return strings.ToLower(f.name)
}

func (f *field) isNumber() bool {
	return f.kind == reflect.Int || f.kind == reflect.Int32 || f.kind == reflect.Pointer
}

// Write prints the answer as one object with n rows, a line each, which row makes from their
// number.
func (a Answer) Write(out io.Writer, n int, row func(i int) map[string]any) error {
	of := map[Kind][]Remark{Missing: {}, Stale: {}}
	for _, r := range a.Remarks {
		of[r.Kind] = append(of[r.Kind], r)
	}
	head, err := json.Marshal(struct {
		Version  int             `json:"version"`
		At       time.Time       `json:"at"`
		Interval json.RawMessage `json:"interval,omitempty"`
		Missing  []Remark        `json:"missing"`
		Lacking  []Remark        `json:"lacking,omitempty"`
		Stale    []Remark        `json:"stale"`
		NoNodes  bool            `json:"no_nodes,omitempty"`
	}{answerVersion, a.At.UTC().Truncate(time.Millisecond), a.interval(), of[Missing], of[Lacking], of[Stale], a.NoNodes})
	if err != nil {
		return err
	}
	w := bufio.NewWriter(out)
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
