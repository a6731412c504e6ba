package snapshot

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// rpc answers with fixed bytes; reads return at most step bytes short of the
// end only if broken.
type rpc struct {
	request []byte
	answer  []byte
	accept  int // bytes taken by one write
	err     error
}

func (h *rpc) WriteAt(_ context.Context, p []byte, off int64) (int, error) {
	n := min(len(p), h.accept)
	h.request = append(h.request[:off], p[:n]...)
	return n, nil
}

func (h *rpc) ReadAt(_ context.Context, p []byte, off int64) (int, error) {
	if h.err != nil {
		return 0, h.err
	}
	if off >= int64(len(h.answer)) {
		return 0, nil
	}
	return copy(p, h.answer[off:]), nil
}

func (h *rpc) Close() error { return nil }

func TestFetch(t *testing.T) {
	files := []string{"stat", "status"}
	for _, n := range []int{1, 100, 20000} {
		rows := testRows(n, 2)
		h := &rpc{answer: build(t, new(Builder), files, rows), accept: 10}
		req := Request{Files: files}
		table, err := Fetch(t.Context(), h, req, nil, Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(rows, rowsOf(table)); d != "" {
			t.Errorf("%d rows: %s", n, d)
		}
		if !bytes.Equal(h.request, req.Append(nil)) {
			t.Errorf("request %q", h.request)
		}
	}
}

func TestFetchFailures(t *testing.T) {
	files := []string{"stat"}
	good := build(t, new(Builder), files, testRows(5000, 1))
	huge := bytes.Clone(good)
	binary.LittleEndian.PutUint32(huge[8:], 1<<27)
	binary.LittleEndian.PutUint32(huge[12:], 1<<27)
	for name, h := range map[string]*rpc{
		"read error":        {accept: 100, err: syscall.EACCES},
		"nothing":           {accept: 100},
		"takes no write":    {answer: good},
		"cut in the middle": {accept: 100, answer: good[:len(good)/2]},
		"cut in the header": {accept: 100, answer: good[:10]},
		"announces more":    {accept: 100, answer: huge},
	} {
		if table, err := Fetch(t.Context(), h, Request{Files: files}, nil, Limits{}); err == nil {
			t.Errorf("%s: table of %d", name, table.Len())
		} else if h.err != nil && !errors.Is(err, h.err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Fetch(t.Context(), &rpc{accept: 100}, Request{}, nil, Limits{}); err == nil {
		t.Error("empty request")
	}
}

func BenchmarkDecode(b *testing.B) {
	files := []string{"stat", "statm", "status", "cmdline"}
	answer := build(b, new(Builder), files, testRows(5000, 4))
	b.SetBytes(int64(len(answer)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Decode(nil, answer, Limits{}); err != nil {
			b.Fatal(err)
		}
	}
}
