package snapshot

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// someFigures are figures of a node, of which a share has changed since before.
func someFigures(rng *rand.Rand, before []Group, rows int) []Group {
	if before == nil {
		g := Group{Name: "disk", Fields: []string{"reads", "writes"}}
		for i := range rows {
			g.Rows = append(g.Rows, fmt.Sprint("sd", i))
			g.Values = append(g.Values, rng.Int64(), -rng.Int64())
		}
		return []Group{{Name: "load", Fields: []string{"load1"}, Rows: []string{""}, Values: []int64{1}}, g, {Name: "none"}}
	}
	now := slices.Clone(before)
	for i := range now {
		now[i].Values = slices.Clone(now[i].Values)
		for k := range now[i].Values {
			if rng.IntN(3) == 0 {
				now[i].Values[k] += rng.Int64N(1000) - 500
			}
		}
	}
	return now
}

// What a front end has after any number of answers, whole or differences, alone or with a table, is
// what the leaf had.
func TestFigures(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var leaf FigureHistory
	var groups []Group
	var held *Figures
	var b Builder
	b.Reset(nil, Facts{Hz: 100, PageSize: 4096, PIDMax: 1000, Monotonic: 7}, []string{"stat"})
	table, err := b.Table()
	if err != nil {
		t.Fatal(err)
	}
	for i := range 200 {
		if groups = someFigures(rng, groups, i/50); i%50 == 0 {
			groups = someFigures(rng, nil, i/50)
		}
		f := leaf.Add(NewFigures(groups), time.Now())
		known := leaf.Find(held.orZero().number)
		if i > 0 && i%7 != 0 && known == nil {
			t.Fatal("the last figures are not remembered")
		}
		var got *Figures
		if i%2 == 0 {
			got, err = DecodeFigures(held, AnswerFigures(f, known), Limits{})
		} else {
			var with *Table
			if with, err = decode(nil, held, table.AnswerWith(Request{Files: table.Files(), Figures: true}, 0, f, known), Limits{}); err == nil {
				got = with.Figures()
				if with.Facts().Monotonic != 7 {
					t.Errorf("facts %+v", with.Facts())
				}
			}
		}
		if err != nil {
			t.Fatal(i, err)
		}
		if d := cmp.Diff(f.groups, got.groups); d != "" || got.number != f.number {
			t.Fatal(i, d)
		}
		if held = got; i%7 == 6 {
			held = nil
		}
	}
	if _, err := DecodeFigures(nil, AnswerFigures(held, held), Limits{}); err == nil {
		t.Error("the difference to figures that are not held is taken")
	}
}

func (f *Figures) orZero() *Figures {
	if f == nil {
		return &Figures{}
	}
	return f
}

// A leaf gets its figures once for all who want them in time, and none are asked for where they
// are not wanted, or of a server that has none.
func TestServerFigures(t *testing.T) {
	taken := 0
	s := NewServer(func(_ context.Context, b *Builder, base *Table, files []string) error {
		b.Reset(base, Facts{Hz: 100, PageSize: 4096, PIDMax: 1000}, files)
		return nil
	}, time.Minute)
	defer s.Close()
	if _, err := s.Answer(t.Context(), Request{Figures: true}); err != syscall.EOPNOTSUPP {
		t.Errorf("figures of none: %v", err)
	}
	s.Measure(func(context.Context) *Figures {
		taken++
		return NewFigures([]Group{{Name: "load", Fields: []string{"load1"}, Rows: []string{""}, Values: []int64{int64(taken)}}})
	})
	for _, r := range []struct {
		req  Request
		want int
	}{
		{Request{Files: []string{"stat"}}, 0}, {Request{Figures: true}, 1}, {Request{Figures: true, MaxAge: time.Hour}, 1},
		{Request{Files: []string{"stat"}, Figures: true, MaxAge: time.Hour}, 1}, {Request{Files: []string{"stat"}, Figures: true}, 2},
	} {
		if _, err := s.Answer(t.Context(), r.req); err != nil || taken != r.want {
			t.Errorf("%+v: %v, taken %d times, want %d", r.req, err, taken, r.want)
		}
	}
}

func FuzzDecodeFigures(f *testing.F) {
	rng := rand.New(rand.NewPCG(3, 4))
	var leaf FigureHistory
	groups := someFigures(rng, nil, 3)
	one := leaf.Add(NewFigures(groups), time.Now())
	two := leaf.Add(NewFigures(someFigures(rng, groups, 3)), time.Now())
	f.Add(AnswerFigures(one, nil), AnswerFigures(two, one))
	f.Fuzz(func(t *testing.T, first, second []byte) {
		limits := Limits{Answer: 1 << 20}
		held, err := DecodeFigures(nil, first, limits)
		if err != nil {
			return
		}
		for _, got := range []*Figures{held, must(DecodeFigures(held, second, limits))} {
			for _, g := range got.Groups() {
				if len(g.Values) != len(g.Rows)*len(g.Fields) {
					t.Fatalf("%+v", g)
				}
			}
			if got == nil {
				continue
			}
			if again, err := DecodeFigures(nil, AnswerFigures(got, nil), Limits{}); err != nil || !cmp.Equal(again.groups, got.groups) {
				t.Fatal(err)
			}
		}
	})
}

func must(f *Figures, _ error) *Figures { return f }
