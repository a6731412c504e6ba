package control

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// Tree is the attach name of a leaf's control, and File the rpc file in it.
const (
	Tree = "control"
	File = "control"
)

// What a batch may have: bytes, bytes of a line, lines; and bytes of the answers to it.
const (
	MaxBatch    = 64 << 10
	MaxLine     = 4096
	MaxRequests = 4096
	MaxAnswer   = 2 << 20
)

// maxText bounds what an answer says beside its error, in bytes.
const maxText = 256

// header begins a batch to a leaf, and its answers.
const header = "aggrfs-control"

// version is that of the batches to leaves.
const version = "1"

// A Request is a line of a batch. What its target means its reader knows.
type Request struct {
	ID     uint64
	Target string
	Action
}

// An Answer is that to the request with its ID.
type Answer struct {
	ID    uint64
	Value string        // of an action that reads; one line
	Errno syscall.Errno // 0 is that it was done
	Text  string        // beside an error, for people
}

// Answered is an answer made of what an action returned. The text of an error is left out where
// its number says the same.
func Answered(id uint64, value string, err error) Answer {
	if err == nil {
		return Answer{ID: id, Value: value}
	}
	a := Answer{ID: id, Errno: vfs.Errno(err), Text: err.Error()}
	if a.Text == a.Errno.Error() {
		a.Text = ""
	}
	return a
}

// Err is the error of an answer, with its text; nil is that it was done.
func (a Answer) Err() error {
	switch {
	case a.Errno == 0:
		return nil
	case a.Text == "":
		return a.Errno
	}
	return answerError{a}
}

// An answerError says what an answer says, and stands for its error number.
type answerError struct{ a Answer }

func (e answerError) Error() string { return e.a.Text }

func (e answerError) Unwrap() error { return e.a.Errno }

// A Limit is what the front end allows a batch to reach, besides what the node's kernel does.
type Limit struct {
	Own   bool     // only processes that the requester runs
	Shown []uint32 // of process groups only processes of these users; nil is all
}

// ParseRequests reads the requests of a batch. Nothing of one with a mistake is to be done; the
// error says which line it is.
func ParseRequests(batch []byte) ([]Request, error) {
	if len(batch) > MaxBatch {
		return nil, fmt.Errorf("a batch is at most %d bytes", MaxBatch)
	}
	var all []Request
	seen := make(map[uint64]bool)
	n := 0
	for line := range bytes.Lines(batch) {
		n++
		r, err := parseRequest(string(bytes.TrimSuffix(line, []byte("\n"))))
		switch {
		case err == nil && seen[r.ID]:
			err = fmt.Errorf("the number %d is given twice", r.ID)
		case len(all) == MaxRequests:
			err = fmt.Errorf("a batch has at most %d requests", MaxRequests)
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		seen[r.ID] = true
		all = append(all, r)
	}
	return all, nil
}

func parseRequest(line string) (r Request, err error) {
	if len(line) > MaxLine {
		return r, fmt.Errorf("a line is at most %d bytes", MaxLine)
	}
	words := strings.Fields(line)
	if len(words) < 3 {
		return r, fmt.Errorf("%s is no request: write ID TARGET ACTION", clip(line))
	}
	if r.ID, err = strconv.ParseUint(words[0], 10, 64); err != nil {
		return r, fmt.Errorf("%s is no number of a request", clip(words[0]))
	}
	r.Target = words[1]
	r.Action, err = ParseAction(words[2:])
	return r, err
}

// AppendRequest writes a request as a line.
func AppendRequest(b []byte, r Request) []byte {
	b = strconv.AppendUint(b, r.ID, 10)
	b = append(append(b, ' '), r.Target...)
	b = append(append(b, ' '), r.Action.String()...)
	return append(b, '\n')
}

// AppendAnswer writes an answer as a line.
func AppendAnswer(b []byte, a Answer) []byte {
	b = strconv.AppendUint(b, a.ID, 10)
	if a.Errno == 0 {
		b = append(b, " ok"...)
		if a.Value != "" {
			b = append(append(b, ' '), oneLine(a.Value, MaxLine)...)
		}
		return append(b, '\n')
	}
	b = append(append(b, " error "...), ErrnoName(a.Errno)...)
	if a.Text != "" {
		b = append(append(b, ' '), oneLine(a.Text, maxText)...)
	}
	return append(b, '\n')
}

// oneLine is a text that ends no line and steers no terminal.
func oneLine(text string, most int) string {
	text = text[:min(len(text), most)]
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r > 0x7e {
			return '?'
		}
		return r
	}, text)
}

// ParseAnswers reads answers, to the end of text.
func ParseAnswers(text []byte) ([]Answer, error) {
	var all []Answer
	for line := range strings.Lines(string(text)) {
		line, whole := strings.CutSuffix(line, "\n")
		number, rest, _ := strings.Cut(line, " ")
		word, rest, _ := strings.Cut(rest, " ")
		id, err := strconv.ParseUint(number, 10, 64)
		a := Answer{ID: id}
		switch {
		case err != nil || !whole || len(line) > 2*MaxLine:
			return nil, fmt.Errorf("%s is no answer", clip(line))
		case word == "ok":
			a.Value = rest
		case word == "error":
			name, said, _ := strings.Cut(rest, " ")
			if a.Errno = ErrnoOf(name); a.Errno == 0 {
				return nil, fmt.Errorf("%s: %s is no error", clip(line), clip(name))
			}
			a.Text = said
		default:
			return nil, fmt.Errorf("%s is no answer", clip(line))
		}
		if len(all) == MaxRequests {
			return nil, fmt.Errorf("more than %d answers", MaxRequests)
		}
		all = append(all, a)
	}
	return all, nil
}

// AppendHeader begins a batch to a leaf.
func AppendHeader(b []byte, l Limit) []byte {
	b = append(append(append(b, header...), ' '), version...)
	if l.Own {
		b = append(b, " own"...)
	}
	if l.Shown != nil {
		b = append(b, " shown="...)
		for i, uid := range l.Shown {
			if i > 0 {
				b = append(b, ',')
			}
			b = strconv.AppendUint(b, uint64(uid), 10)
		}
	}
	return append(b, '\n')
}

// CutHeader takes the header from the front of a batch to a leaf. EPROTONOSUPPORT is another
// version.
func CutHeader(batch []byte) (l Limit, rest []byte, err error) {
	line, rest, ok := bytes.Cut(batch, []byte("\n"))
	words := strings.Fields(string(line[:min(len(line), MaxBatch)]))
	if !ok || len(words) < 2 || words[0] != header {
		return l, nil, fmt.Errorf("%w: no batch of actions", syscall.EINVAL)
	}
	if words[1] != version {
		return l, nil, fmt.Errorf("%w: the version is %s, and %s is known", syscall.EPROTONOSUPPORT, clip(words[1]), version)
	}
	for _, word := range words[2:] {
		uids, shown := strings.CutPrefix(word, "shown=")
		switch {
		case word == "own":
			l.Own = true
		case shown:
			l.Shown = []uint32{}
			for text := range strings.SplitSeq(uids, ",") {
				if uids == "" {
					break
				}
				uid, err := strconv.ParseUint(text, 10, 32)
				if err != nil {
					return l, nil, fmt.Errorf("%w: %s is no list of users", syscall.EINVAL, clip(uids))
				}
				l.Shown = append(l.Shown, uint32(uid))
			}
		default: // it limits, and in a way that is not known
			return l, nil, fmt.Errorf("%w: unknown limit %s", syscall.EINVAL, clip(word))
		}
	}
	return l, rest, nil
}

// errnos are the error numbers by name.
var errnos = func() map[string]syscall.Errno {
	all := make(map[string]syscall.Errno)
	for n := syscall.Errno(1); n < 4096; n++ {
		if name := unix.ErrnoName(n); name != "" {
			all[name] = n
		}
	}
	return all
}()

// ErrnoName is the name of an error number as in errno(3); EIO for one that has none.
func ErrnoName(n syscall.Errno) string {
	if name := unix.ErrnoName(n); name != "" {
		return name
	}
	return "EIO"
}

// ErrnoOf is the error of that name, 0 if there is none.
func ErrnoOf(name string) syscall.Errno { return errnos[name] }
