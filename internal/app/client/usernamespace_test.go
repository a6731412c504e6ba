package client

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// In a user namespace a user may have another number than outside, where the server is.
func TestRenumbered(t *testing.T) {
	path := filepath.Join(t.TempDir(), "uid_map")
	for text, want := range map[string]map[int]bool{
		"         0          0 4294967295\n":      {0: false, 1001: false},
		"         0       1001          1\n":      {0: true, 5: true},
		"      1001       1001          1\n":      {1001: false, 0: true},
		"0 1001 1\n1 100000 65536\n1001 1001 1\n": {1: true, 1001: true},
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		for uid, is := range want {
			if got := renumbered(path, uid); got != is {
				t.Errorf("uid %d by %q: %v", uid, text, got)
			}
		}
	}
}

// In a user namespace a user may have another number than where the nodes are.
func TestOutsideUID(t *testing.T) {
	path := filepath.Join(t.TempDir(), "uid_map")
	for text, want := range map[string]map[uint32]string{
		"         0          0 4294967295\n": {0: "0 true", 1001: "1001 true"},
		"0 1001 1\n1 100000 65536\n":         {0: "1001 true", 2: "100001 true", 70000: "0 false"},
		"1002 1002 1\n":                      {1002: "1002 true", 1003: "0 false"},
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		for uid, says := range want {
			outside, mapped := OutsideUID(path, uid)
			if got := fmt.Sprint(outside, mapped); got != says {
				t.Errorf("%d by %q: %s", uid, text, got)
			}
		}
	}
}
