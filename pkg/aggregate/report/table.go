package report

import (
	"bufio"
	"bytes"
	"encoding"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aggrfs/aggrfs/internal/plaintext"
	"github.com/aggrfs/aggrfs/pkg/aggregate/gpid"
)

// A field is one of a row that stands in its text: the tag `column` of it is the name there
// and, behind a comma, an option:
//
//	required  a row makes no sense without it
//	fact      its text may have blanks, as that of the last column may
//	optional  the same, and it is left out where it is not known
//
// Bytes are the rest of a line as it is.
type field struct {
	index        int // in the struct
	name, option string
	kind         reflect.Kind
}

// fieldsOf are the fields of a kind of rows.
func fieldsOf[R any]() (all []field) {
	for i, f := range reflect.VisibleFields(reflect.TypeFor[R]()) {
		if name, option, _ := strings.Cut(f.Tag.Get("column"), ","); name != "" {
			all = append(all, field{i, name, option, f.Type.Kind()})
		}
	}
	return all
}

// at points to the field in a row, which is a pointer to a struct.
func (f *field) at(row any) any {
	return reflect.ValueOf(row).Elem().Field(f.index).Addr().Interface()
}

// cell is what a row has in the field; "" is not known.
func (f *field) cell(row any) string {
	switch p := f.at(row).(type) {
	case **uint64:
		if *p == nil {
			return ""
		}
		return strconv.FormatUint(**p, 10)
	case **int64:
		if *p == nil {
			return ""
		}
		return strconv.FormatInt(**p, 10)
	case **float64:
		if *p == nil {
			return ""
		}
		return strconv.FormatFloat(**p, 'f', 2, 64)
	case *time.Time:
		if p.IsZero() {
			return ""
		}
		return p.UTC().Format(time.RFC3339)
	default:
		return fmt.Sprint(reflect.ValueOf(p).Elem())
	}
}

// setCell sets the field that at points to.
func setCell(at any, cell string) (err error) {
	switch p := at.(type) {
	case *string:
		*p = plaintext.FromCell(cell)
	case *gpid.PID:
		*p, err = parseNumber[gpid.PID](cell)
	case *gpid.GPID:
		*p, err = parseNumber[gpid.GPID](cell)
	case *int64:
		*p, err = parseNumber[int64](cell)
	case *int:
		*p, err = parseNumber[int](cell)
	case *[]byte:
		*p = []byte(plaintext.Unescape(cell))
	case *byte:
		if *p = cell[0]; len(cell) > 1 {
			err = errors.New("more than a letter")
		}
	case **uint64:
		*p = new(uint64)
		**p, err = strconv.ParseUint(cell, 10, 64)
	case **int64:
		*p = new(int64)
		**p, err = strconv.ParseInt(cell, 10, 64)
	case **float64:
		*p = new(float64)
		if **p, err = strconv.ParseFloat(cell, 64); err == nil && (math.IsNaN(**p) || math.IsInf(**p, 0)) {
			err = strconv.ErrRange
		}
	case *time.Time:
		*p, err = time.Parse(time.RFC3339, cell)
	case encoding.TextUnmarshaler:
		err = p.UnmarshalText([]byte(cell))
	}
	return err
}

func parseNumber[N ~int | ~int32 | ~int64](cell string) (N, error) {
	n, err := strconv.ParseInt(cell, 10, 64)
	if err == nil && int64(N(n)) != n {
		err = strconv.ErrRange
	}
	return N(n), err
}

// encode writes a table of rows.
func encode[R any](rows ...R) []byte {
	cells := make([][]string, len(rows)+1)
	for _, f := range fieldsOf[R]() {
		cells[0] = append(cells[0], f.name)
		for i := range rows {
			cells[i+1] = append(cells[i+1], f.cell(&rows[i]))
		}
	}
	return plaintext.Table(cells)
}

// read reads a table, of which only the last column has blanks: its rows, which each is given
// while there is more to come, and what it lacks. file is what it is called in errors.
func read[R any](file string, table io.Reader, each func(R)) (remarks []Remark, err error) {
	r := bufio.NewReaderSize(table, 256<<10)
	var h *header
	var row, none R
	for {
		line, err := readLine(r)
		switch {
		case err == io.EOF && len(line) == 0 && h != nil:
			return remarks, nil
		case err == io.EOF:
			return nil, fmt.Errorf("%s ends in the middle", file)
		case err != nil:
			return nil, err
		}
		switch text := string(line[:len(line)-1]); {
		case text == "":
		case text[0] == '#':
			var remark Remark
			var ok bool
			if remark, ok, err = ParseRemark(text); ok {
				remarks = append(remarks, remark)
			}
		case h == nil:
			if h, err = newHeader(file, &row, fieldsOf[R](), strings.Fields(text)); err != nil {
				return nil, err
			}
		default:
			row = none
			if err = h.parse(text); err == nil {
				each(row)
			}
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
	}
}

// maxLine is the longest line of a table, in bytes: a command line of the longest with every byte
// escaped, and some more.
const maxLine = 32 << 20

// readLine is the next line, which is good until the next call.
func readLine(r *bufio.Reader) ([]byte, error) {
	line, err := r.ReadSlice('\n')
	if err != bufio.ErrBufferFull {
		return line, err
	}
	var long []byte
	for err == bufio.ErrBufferFull && len(long) < maxLine {
		long = append(long, line...)
		line, err = r.ReadSlice('\n')
	}
	return append(long, line...), err
}

// readAll is read of a table that is there.
func readAll[R any](file string, text []byte) (rows []R, remarks []Remark, err error) {
	remarks, err = read(file, bytes.NewReader(text), func(row R) { rows = append(rows, row) })
	if err != nil {
		return nil, nil, err
	}
	return rows, remarks, nil
}

// A header is what the columns of a table are.
type header struct {
	fields []*field // nil where this version has no such column
	at     []any    // where what stands in them belongs
	needed int      // how many of them make up a row, at least
}

// newHeader is the header of a table that is read into one row after the other.
func newHeader(file string, row any, fields []field, names []string) (*header, error) {
	h := &header{fields: make([]*field, len(names)), at: make([]any, len(names))}
	for i := range fields {
		f := &fields[i]
		place := slices.Index(names, f.name)
		if place >= 0 {
			h.fields[place], h.at[place] = f, f.at(row)
		}
		if f.option != "required" {
			continue
		}
		if place < 0 {
			return nil, fmt.Errorf("%s has no column %s: the server's version is not that of this program", file, f.name)
		}
		h.needed = max(h.needed, place+1)
	}
	return h, nil
}

// parse reads a line of the table into the row. What it lacks at its end is not known.
func (h *header) parse(line string) error {
	for k, f := range h.fields {
		cell, rest := line, f != nil && f.kind == reflect.Slice
		if k < len(h.fields)-1 {
			cell, line, _ = strings.Cut(strings.TrimLeft(line, " "), " ")
		} else if !rest {
			cell = strings.TrimLeft(line, " ")
		}
		switch {
		case cell == "" && k < h.needed && !rest:
			return errors.New("a row ends too early")
		case cell == "":
			return nil
		case f == nil, cell == "-" && f.option != "required":
			continue
		}
		if err := setCell(h.at[k], cell); err != nil {
			return fmt.Errorf("%s of a row: %w", f.name, err)
		}
	}
	return nil
}
