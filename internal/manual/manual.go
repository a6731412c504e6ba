// Package manual makes, of what the programs and the documents say already, what man(1)
// and shells want.
//
// A Page is text in Markdown with a name and a section. Commands makes one of each command
// of a program, with the text, flags and examples that its help shows; Document makes one of
// a file of docs/, in which links become references to other pages or to files. Write
// renders a page as man(7) has it. Completions writes a program's completions for bash, zsh
// and fish.
//
// It is for building only: the programs import it under the tag manual, with which they
// write their pages and do nothing else.
package manual

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/cpuguy83/go-md2man/v2/md2man"
	"github.com/spf13/cobra"
)

// A Page is a page of the manual.
type Page struct {
	Name    string // as man(1) is asked for it
	Section int    // 1 to 8, see man(1)
	Summary string // what apropos(1) shows, in plain text
	Body    string // in Markdown; its sections are headings of the second level
}

// String is the page as others refer to it: aggrfs-ps(1).
func (p Page) String() string { return fmt.Sprintf("%s(%d)", p.Name, p.Section) }

// A Source says what all pages of one build have in common.
type Source struct {
	Version string    // of the programs
	Date    time.Time // of the source, not of the building
	DocDir  string    // where docs/ is installed, without docs itself
}

// SourceDate is the time in $SOURCE_DATE_EPOCH (reproducible-builds.org), and an error if
// that has none.
func SourceDate() (time.Time, error) {
	seconds, err := strconv.ParseInt(os.Getenv("SOURCE_DATE_EPOCH"), 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH: %w (set it to the seconds of the commit: git log -1 --format=%%ct)", err)
	}
	return time.Unix(seconds, 0).UTC(), nil
}

// Write writes each page to its place below dir, as man1/aggrfs-ps.1.
func Write(dir string, source Source, pages []Page) error {
	for _, p := range pages {
		path := filepath.Join(dir, fmt.Sprintf("man%d", p.Section), fmt.Sprintf("%s.%d", p.Name, p.Section))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, p.render(source), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// render is the page as man(7) has it.
func (p Page) render(source Source) []byte {
	// Help and documents name documents by their path in the source.
	body := documentPath.ReplaceAllString(p.Body, "${1}"+source.DocDir+"/docs/$2")
	text := md2man.Render(fmt.Appendf(nil, "%% %q %q %q %q %q\n\n## NAME\n\n%s \\- %s\n\n%s",
		strings.ToUpper(p.Name), strconv.Itoa(p.Section), source.Date.Format(time.DateOnly), "aggrfs "+source.Version, "aggrfs", escape(p.Name), escape(p.Summary), body))
	return minus.ReplaceAllFunc(text, func(line []byte) []byte {
		return bytes.ReplaceAll(bytes.ReplaceAll(line, []byte(`\-`), []byte("-")), []byte("-"), []byte(`\-`))
	})
}

// minus is a line of text, in which "-" is a hyphen, which nobody can copy to a shell, unless it
// is written as a minus sign.
var minus = regexp.MustCompile(`(?m)^[^.'].*$`)

// Completions writes a program's completions where shells look for them below a share
// directory: /usr/share or /usr/local/share.
func Completions(share string, root *cobra.Command) error {
	name := root.Name()
	for path, generate := range map[string]func(*bytes.Buffer) error{
		"bash-completion/completions/" + name:         func(b *bytes.Buffer) error { return root.GenBashCompletionV2(b, true) },
		"zsh/site-functions/_" + name:                 func(b *bytes.Buffer) error { return root.GenZshCompletion(b) },
		"fish/vendor_completions.d/" + name + ".fish": func(b *bytes.Buffer) error { return root.GenFishCompletion(b, true) },
	} {
		path = filepath.Join(share, path)
		var text bytes.Buffer
		if err := generate(&text); err != nil {
			return fmt.Errorf("completions of %s for %s: %w", name, path, err)
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, text.Bytes(), 0o644); err != nil {
			return err
		}
	}
	return nil
}
