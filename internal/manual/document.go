package manual

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

var (
	// link is one of a document's to another: the text, the file, and the place in it.
	link = regexp.MustCompile(`\[([^\]\n]+)\]\(([\w./-]+)(?:#[\w-]+)?\)`)
	// inner is one to another place of the same document.
	inner = regexp.MustCompile(`\[([^\]\n]+)\]\(#[\w-]+\)`)
	// documentPath is the path of a document in the source, in help texts and documents.
	documentPath = regexp.MustCompile(`(^|[\s(;"])docs/([\w-]+\\?\.md)\b`)
)

// Document makes a page of a document: its title is the summary, and what is before the first
// heading the description. Pages says which documents are pages, this one too, with their
// name and section by their path: links to these become references, and all others the path of
// what they lead to.
func Document(path string, pages map[string]Page) (Page, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return Page{}, err
	}
	title, body, found := strings.Cut(strings.TrimPrefix(string(text), "# "), "\n\n")
	if !found || !strings.HasPrefix(string(text), "# ") {
		return Page{}, fmt.Errorf("%s: no title in the first line, such as \"# The tree\"", path)
	}
	body = inner.ReplaceAllString(lists(body), "$1")
	body = link.ReplaceAllStringFunc(body, func(found string) string {
		part := link.FindStringSubmatch(found)
		target := filepath.Join(filepath.Dir(path), part[2])
		if p, is := pages[target]; is {
			if part[1] == part[2] {
				return reference(p)
			}
			return part[1] + " (" + reference(p) + ")"
		}
		if part[1] == part[2] {
			return target
		}
		return part[1] + " (" + target + ")"
	})
	page := pages[path]
	page.Summary, page.Body = lowerFirst(title), "## DESCRIPTION\n\n"+body
	return page, nil
}

var (
	// option is a line of an example that is commented out, not prose: a key with a value of one
	// word, in brackets or in quotes, or a line that is indented.
	option  = regexp.MustCompile(`^# ((?:- )?[a-z_]+:(?: [\[{"].*[\]}"]| \S+)?| +.*)$`)
	comment = regexp.MustCompile(`^# ?`)
)

// Example makes a page of a file in YAML that is explained by its comments: these become
// text, and all else, also what is commented out, stays as it is. The first sentence is the
// summary; the page refers to also.
func Example(path string, pages map[string]Page, also ...Page) (Page, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return Page{}, err
	}
	var b strings.Builder
	b.WriteString("## DESCRIPTION\n")
	prose := false // the last line was
	for line := range strings.Lines(string(text)) {
		line = strings.TrimRight(line, "\n")
		indent := strings.TrimLeft(line, " ")
		found := option.FindStringSubmatch(line)
		switch {
		case line == "":
			b.WriteString("\n")
			prose = false
		case found != nil:
			fmt.Fprintf(&b, "%s    %s\n", gap(prose), found[1])
			prose = false
		case strings.HasPrefix(line, "#"):
			fmt.Fprintf(&b, "%s%s\n", gap(!prose), escape(comment.ReplaceAllString(indent, "")))
			prose = true
		default:
			fmt.Fprintf(&b, "%s    %s\n", gap(prose), line)
			prose = false
		}
	}
	var see []string
	for _, p := range also {
		see = append(see, reference(p))
	}
	fmt.Fprintf(&b, "\n## SEE ALSO\n\n%s\n", strings.Join(see, ", "))
	page := pages[path]
	first, _, _ := strings.Cut(strings.TrimPrefix(string(text), "# "), ".")
	page.Summary, page.Body = lowerFirst(strings.ReplaceAll(first, "\n# ", " ")), b.String()
	return page, nil
}

// gap is an empty line where text begins or ends.
func gap(here bool) string {
	if here {
		return "\n"
	}
	return ""
}

// lists makes lists of tables, which a terminal has no room for: the first column is what an
// entry is about, and the others follow, behind the name of their column where there are several.
func lists(text string) string {
	var b strings.Builder
	var columns []string
	fence := false
	for line := range strings.Lines(text) {
		fence = fence != strings.HasPrefix(line, "```")
		if fence || !strings.HasPrefix(line, "|") {
			if columns != nil {
				b.WriteString("<!-- -->\n\n") // else a block behind it would be part of it
			}
			columns = nil
			b.WriteString(line)
			continue
		}
		cells := cells(line)
		switch {
		case columns == nil:
			columns = cells
		case strings.Trim(strings.Join(cells, ""), "-:") == "": // the line below the heads
		case len(cells) == 2:
			fmt.Fprintf(&b, "%s\n: %s\n\n", cells[0], cells[1])
		default:
			var parts []string
			for i, cell := range cells[1:] {
				if cell != "" && i+1 < len(columns) {
					parts = append(parts, strings.TrimPrefix("*"+columns[i+1]+"*: "+cell, "**: "))
				}
			}
			fmt.Fprintf(&b, "%s\n: %s\n\n", cells[0], strings.Join(parts, "; "))
		}
	}
	return b.String()
}

// cells are those of a line of a table.
func cells(line string) []string {
	const bar = "\x00"
	line = strings.ReplaceAll(strings.TrimSpace(line), `\|`, bar)
	cells := strings.Split(strings.Trim(line, "|"), "|")
	for i, cell := range cells {
		cells[i] = strings.ReplaceAll(strings.TrimSpace(cell), bar, "|")
	}
	return cells
}
