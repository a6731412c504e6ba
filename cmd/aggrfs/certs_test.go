package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// certs status says which end soon, and certs renew renews these and no others.
func TestCertsStatusAndRenew(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "ca")
	certs := func(line string) ran {
		t.Helper()
		return runLine(t, append(append([]string{"certs"}, strings.Fields(line)...), "--dir", dir)...)
	}
	if _, err := output(t, "certs", "init", dir); err != nil {
		t.Fatal(err)
	}
	if r := certs("status"); r.status != 0 || !strings.HasPrefix(r.out, "PART  STATE  SINCE  DETAIL\nca    ok ") {
		t.Errorf("of a new CA: %+v", r)
	}
	for _, line := range []string{"issue n[1-3] --days 20", "issue n[4-6] --days 90"} {
		if r := certs(line); r.status != 0 {
			t.Fatalf("%+v", r)
		}
	}
	r := certs("status")
	if r.status != 1 || !strings.Contains(r.out, "certificate  ending  -      n[1-3], until ") || !strings.Contains(r.out, "aggrfs certs renew --dir "+dir) || !strings.Contains(r.out, "certificate  ok      -      n[4-6], until ") {
		t.Errorf("%+v", r)
	}
	before, err := os.ReadFile(filepath.Join(dir, "n4.crt"))
	if err != nil {
		t.Fatal(err)
	}
	if r := certs("renew"); r.status != 0 || !strings.Contains(r.out, "Renewed in "+dir+": n[1-3]\n") {
		t.Errorf("%+v", r)
	}
	if after, err := os.ReadFile(filepath.Join(dir, "n4.crt")); err != nil || string(after) != string(before) {
		t.Errorf("one that does not end soon was renewed: %v", err)
	}
	if r := certs("status"); r.status != 0 {
		t.Errorf("renewed: %+v", r)
	}
	if r := certs("renew"); r.status != 0 || !strings.Contains(r.out, "None of the 6 certificates") {
		t.Errorf("once more: %+v", r)
	}
	if r := certs("renew --days 20"); r.status != 2 || !strings.Contains(r.stderr, "--within") {
		t.Errorf("for less than before: %+v", r)
	}
	// One file that is broken does not keep others from being renewed.
	if err := os.WriteFile(filepath.Join(dir, "n5.crt"), []byte("broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := certs("status"); r.status != 1 || !strings.Contains(r.out, "unusable") {
		t.Errorf("%+v", r)
	}
	if r := certs("renew --within 100"); r.status != 1 || !strings.Contains(r.out, ": n[4,6]\n") || !strings.Contains(r.stderr, "n5.crt") {
		t.Errorf("%+v", r)
	}
}
