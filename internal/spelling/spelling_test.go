package spelling_test

import (
	"strings"
	"testing"

	"github.com/aggrfs/aggrfs/internal/spelling"
)

func TestNearest(t *testing.T) {
	words := []string{"cache", "nodes", "allocated", "all", "ops"}
	for key, want := range map[string]string{
		"cahce": "cache", "alocated": "allocated", "opz": "ops", "node": "nodes", "al": "all", "listen": "", "": "", strings.Repeat("a", 65): "",
	} {
		if got := spelling.Nearest(key, words); got != want {
			t.Errorf("the nearest of %.20q is %q, want %q", key, got, want)
		}
	}
}
