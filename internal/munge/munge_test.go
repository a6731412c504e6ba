package munge

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aggrfs/aggrfs/internal/munge/mungetest"
)

func TestDecode(t *testing.T) {
	socket := mungetest.Start(t)
	d := Decoder{Socket: socket}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()

	cred := mungetest.Credential(t, socket, 1234, 5678)
	if uid, gid, err := d.Decode(ctx, append(cred, 0)); err != nil || uid != 1234 || gid != 5678 {
		t.Errorf("got %d:%d, %v", uid, gid, err)
	}
	if _, _, err := d.Decode(ctx, cred); err == nil || !strings.Contains(err.Error(), "Replayed") {
		t.Errorf("a second time: %v", err)
	}
	forged := mungetest.Credential(t, socket, 1234, 5678)
	forged[len(forged)/2] ^= 1
	other := mungetest.Credential(t, mungetest.Start(t), 0, 0)
	// For root alone to decode, and this is root; for another it is not.
	restricted := mungetest.Credential(t, socket, 1234, 5678, "--restrict-uid=1")
	for what, cred := range map[string][]byte{
		"a forged one": forged, "one by another key": other, "one for somebody else": restricted,
		"nothing": nil, "text": []byte("root\n"), "options": []byte("--help"), "half of one": cred[:40],
	} {
		if uid, gid, err := d.Decode(ctx, cred); err == nil {
			t.Errorf("%s is of %d:%d", what, uid, gid)
		}
	}
	if _, _, err := (Decoder{Socket: socket + "x"}).Decode(ctx, other); err == nil {
		t.Error("without a daemon")
	}
	if _, _, err := (Decoder{Program: "/no/such/program"}).Decode(ctx, other); err == nil {
		t.Error("without a program")
	}
}

// TestProgram: another program of that name, which the environment leads to, is not
// asked, nor one that others can write.
func TestProgram(t *testing.T) {
	dir := t.TempDir()
	liar := dir + "/unmunge"
	if err := os.WriteFile(liar, []byte("#!/bin/sh\nprintf 'STATUS: Success (0)\\nUID: root (0)\\nGID: root (0)\\n'\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir)
	forged := []byte("MUNGE:AwQFAAC:")
	if uid, _, err := (Decoder{}).Decode(t.Context(), forged); err == nil {
		t.Errorf("a program of the PATH says it is %d", uid)
	}
	if uid, _, err := (Decoder{Program: liar}).Decode(t.Context(), forged); err != nil || uid != 0 {
		t.Errorf("the program that was named: %v", err)
	}
	if err := os.Chmod(liar, 0o777); err != nil {
		t.Fatal(err)
	}
	if _, _, err := (Decoder{Program: liar}).Decode(t.Context(), forged); err == nil || !strings.Contains(err.Error(), "written by everybody") {
		t.Errorf("one that everybody can write: %v", err)
	}
	if _, _, err := (Decoder{Program: dir + "/none"}).Decode(t.Context(), forged); err == nil || !strings.Contains(err.Error(), "install MUNGE") {
		t.Errorf("one that is not there: %v", err)
	}
}

// What a credential carries is printed behind an empty line, and is not believed.
func TestParse(t *testing.T) {
	for text, want := range map[string]uint32{
		"STATUS: Success (0)\nUID: ann (7)\nGID: ops (8)\n\nUID: root (0)\nSTATUS: Success (0)\n": 7,
		"STATUS: Success (0)\nUID: ??? (7)\nUID: root (0)\nGID: ??? (8)\n":                        7,
	} {
		if uid, gid, err := parse(text); err != nil || uid != want || gid != 8 {
			t.Errorf("%q: %d:%d, %v", text, uid, gid, err)
		}
	}
	for _, text := range []string{
		"", "STATUS: Success (0)\n", "STATUS: Success (0)\nUID: ann (7)\n\nGID: ops (8)\n",
		"STATUS: Replayed credential (17)\nUID: ann (7)\nGID: ops (8)\n", "STATUS: Success (0)\nUID: x (-1)\nGID: x (1)\n",
		"STATUS: Success (0)\nUID: 7\nGID: 8\n",
	} {
		if uid, gid, err := parse(text); err == nil {
			t.Errorf("%q: %d:%d", text, uid, gid)
		}
	}
}
