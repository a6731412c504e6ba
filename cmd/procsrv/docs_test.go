package main

import (
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aggrfs/aggrfs/pkg/ninep"
)

// Every command line of procsrv in the documentation is one that it takes, but
// for the files that it names.
func TestDocumentation(t *testing.T) {
	files, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	have := issue(t, "n1")("n1")
	count := 0
	for _, file := range append(files, "../../README.md") {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			args, ok := strings.CutPrefix(line, "    procsrv ")
			if !ok {
				continue
			}
			count++
			args, _, _ = strings.Cut(args, "  ") // what follows explains
			if err := check(strings.Fields(args), have); err != nil {
				t.Errorf("%s: %q: %v", file, line, err)
			}
		}
	}
	if count < 4 {
		t.Errorf("the documentation shows %d command lines", count)
	}
}

// check does what procsrv does with its flags, with other certificate files.
func check(args []string, have ninep.TLSFiles) error {
	var o options
	c := command(io.Discard, nil)
	if err := c.ParseFlags(args); err != nil {
		return err
	}
	if err := c.ValidateArgs(c.Flags().Args()); err != nil {
		return err
	}
	f := c.Flags()
	o.listen, _ = f.GetStringArray("listen")
	o.insecure, _ = f.GetBool("insecure")
	o.frontEnds, _ = f.GetStringArray("front-end")
	o.certificates, _ = f.GetStringArray("certificate")
	if given := []bool{f.Changed("tls-cert"), f.Changed("tls-key"), f.Changed("tls-ca")}; !slices.Contains(given, false) {
		o.tls = have
	}
	addrs, err := o.addresses()
	if err == nil {
		_, err = o.trust()
	}
	if err == nil {
		_, err = o.keys(addrs, slog.New(slog.DiscardHandler))
	}
	return err
}
