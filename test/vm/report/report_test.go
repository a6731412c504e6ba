package report

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	want := []Result{
		{Name: "ps over unix", Took: time.Second, Detail: "60 processes\n\"two lines\""},
		{Name: "top", Failed: true, Detail: "\x1b[31m \xe2\x82\xac"},
		{Name: End},
	}
	console := "Linux version 6.1\r\n"
	for _, r := range want {
		console += strings.ReplaceAll(string(r.Line()), "\n", "\r\n") + "[    1.0] 9p: installed\r\n"
	}
	if diff := cmp.Diff(want, Parse(console)); diff != "" {
		t.Error(diff)
	}
}

func TestParseBroken(t *testing.T) {
	got := Parse(Mark + `{"Name":"ps","Det[   12.0] oops` + "\n")
	if len(got) != 1 || !got[0].Failed || !strings.Contains(got[0].Detail, "oops") {
		t.Errorf("%+v", got)
	}
}

func TestLongDetail(t *testing.T) {
	got := Parse(string(Result{Name: "x", Detail: strings.Repeat("y", 2*maxDetail)}.Line()))
	if len(got) != 1 || len(got[0].Detail) > maxDetail+4 {
		t.Errorf("%d results", len(got))
	}
}
