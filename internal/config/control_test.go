package config_test

import (
	"strings"
	"testing"

	"github.com/aggrfs/aggrfs/internal/config"
)

func TestControl(t *testing.T) {
	for text, want := range map[string]string{
		"":                          "none",
		"control: none":             "none",
		"control: own":              "own",
		"control: all":              "all",
		"control: {processes: own}": "own",
		"control: {processes: none, actions: [nice]}":        "none",
		"control: {processes: all, actions: [nice, signal]}": "all: nice signal",
		"control: {processes: all, actions: nice}":           "all: nice",
		"control: {processes: all, actions: []}":             "all: ",
	} {
		c, err := config.Parse("f", []byte("version: 1\n"+text+"\n"))
		if err != nil || c.Access.Control.String() != want {
			t.Errorf("%q: %v, %v, want %s", text, c, err, want)
			continue
		}
		if want == "none" != c.Access.Control.None() || c.Access.Control.Allows("signal") != (want == "own" || want == "all" || strings.Contains(want, "signal")) {
			t.Errorf("%q allows other than it says", text)
		}
		if text == "" {
			continue
		}
		c, err = config.Parse("f", []byte("version: 1\nviews: [{users: ann, nodes: all, "+text+"}]\n"))
		if err != nil || c.Access.Views[0].Control.String() != want {
			t.Errorf("a view with %q: %v", text, err)
		}
	}
	for text, want := range map[string]string{
		"control: some": "neither none, own nor all", "control: [own]": "", "control: {actions: [nice]}": "processes is missing",
		"control: {processes: own, actions: [fly]}": "no kind of action", "control: {processes: own, who: ann}": "who", "control: {processes: ann}": "neither none",
	} {
		if _, err := config.Parse("f", []byte("version: 1\n"+text+"\n")); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q in it", text, err, want)
		}
	}
}
