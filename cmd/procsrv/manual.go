//go:build manual

package main

import (
	"fmt"
	"io"
	"os"

	"github.com/aggrfs/aggrfs/internal/manual"
)

// main, with the tag manual, writes the manual and the completions to a share directory:
//
//	procsrv DIR DOCDIR
func main() {
	if err := writeManual(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "procsrv:", err)
		os.Exit(1)
	}
}

func writeManual(share, docDir string) error {
	date, err := manual.SourceDate()
	if err != nil {
		return err
	}
	root := command(io.Discard, nil)
	pages := manual.Commands(root, nil, "procsrv")
	if err := manual.Write(share+"/man", manual.Source{Version: version, Date: date, DocDir: docDir}, pages); err != nil {
		return err
	}
	return manual.Completions(share, root)
}
