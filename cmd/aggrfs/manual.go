//go:build manual

package main

import (
	"fmt"
	"os"

	"github.com/aggrfs/aggrfs/internal/manual"
)

// main, with the tag manual, writes the manual and the completions to a share directory:
//
//	aggrfs DIR DOCDIR
//
// It runs in the directory of the source, which has the documents.
func main() {
	if err := writeManual(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "aggrfs:", err)
		os.Exit(1)
	}
}

// documents are those that are pages too.
var documents = map[string]manual.Page{
	"configs/aggrfs.yaml": {Name: "aggrfs.yaml", Section: 5},
	"docs/policy.md":      {Name: "cachepolicy.yaml", Section: 5},
	"docs/namespace.md":   {Name: "aggrfs-tree", Section: 7},
	"docs/views.md":       {Name: "aggrfs-views", Section: 7},
}

func writeManual(share, docDir string) error {
	date, err := manual.SourceDate()
	if err != nil {
		return err
	}
	var pages []manual.Page
	for _, path := range []string{"docs/policy.md", "docs/namespace.md", "docs/views.md"} {
		page, err := manual.Document(path, documents)
		if err != nil {
			return err
		}
		pages = append(pages, page)
	}
	page, err := manual.Example("configs/aggrfs.yaml", documents, pages...)
	if err != nil {
		return err
	}
	pages = append(pages, page)
	root := newApp().command()
	pages = append(pages, manual.Commands(root, pages, "aggrfs serve")...)
	if err := manual.Write(share+"/man", manual.Source{Version: version, Date: date, DocDir: docDir}, pages); err != nil {
		return err
	}
	return manual.Completions(share, root)
}
