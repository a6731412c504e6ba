package certs

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// A CA's directory has its certificates; what is none of its own is an error of that file alone.
func TestIssued(t *testing.T) {
	ca, other := newCA(t), newCA(t)
	for i := range 3 {
		if _, err := ca.Issue(fmt.Sprint("n", i), 10+i); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := other.Issue("foreign", 10); err != nil {
		t.Fatal(err)
	}
	take := func(from, to string) {
		t.Helper()
		text, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(ca.dir, to), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	take(other.path("foreign.crt"), "foreign.crt")
	take(other.path("ca.crt"), "old.crt")
	take(ca.path("n1.crt"), "m1.crt")
	take("/dev/null", "empty.crt")
	all, err := ca.Issued()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, i := range all {
		text := "ok"
		if i.Err != nil {
			text = strings.ReplaceAll(i.Err.Error(), ca.dir, "DIR")
		} else if left := time.Until(i.Until); left < 9*24*time.Hour || left > 13*24*time.Hour {
			t.Errorf("%s ends in %v", i.Name, left)
		}
		got = append(got, i.Name+" "+text)
	}
	want := []string{
		"empty DIR/empty.crt has no certificate (no PEM block of type CERTIFICATE)", "foreign DIR/foreign.crt is not of the CA in DIR",
		`m1 DIR/m1.crt is for "n1"`, "n0 ok", "n1 ok", "n2 ok",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q\nwant\n%q", got, want)
	}
}

// Certificates that are renewed together end apart, none later than asked for nor by more than a tenth
// sooner.
func TestRenewSpread(t *testing.T) {
	ca, now, ends := newCA(t), time.Now(), make(map[string]bool)
	for i := range 40 {
		name := fmt.Sprint("n", i)
		first, err := ca.Renew(name, 300)
		again, errAgain := ca.Renew(name, 300)
		if err != nil || errAgain != nil {
			t.Fatal(err, errAgain)
		}
		if first.After(now.AddDate(0, 0, 301)) || first.Before(now.AddDate(0, 0, 270)) || again.Sub(first) > time.Hour {
			t.Errorf("%s ends %v and %v", name, first, again)
		}
		ends[first.Format(time.DateOnly)] = true
	}
	if len(ends) < 10 {
		t.Errorf("40 certificates end on %d days", len(ends))
	}
	for _, days := range []int{0, -1, math.MaxInt} {
		if _, err := ca.Renew("n1", days); err == nil {
			t.Errorf("one for %d days is renewed", days)
		}
	}
	if until, err := ca.Renew("n1", 1); err != nil || until.Before(now.AddDate(0, 0, 1)) {
		t.Errorf("for a day: %v, %v", until, err)
	}
}
