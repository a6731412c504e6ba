package manual

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
)

// write writes pages and returns them as text by their file's name.
func write(t *testing.T, pages ...Page) map[string]string {
	t.Helper()
	dir := t.TempDir()
	if err := Write(dir, Source{Version: "v1", Date: time.Unix(1790000000, 0).UTC(), DocDir: "/usr/share/doc/x"}, pages); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(dir + "/man?/*")
	if err != nil || len(files) != len(pages) {
		t.Fatalf("%d files, %v", len(files), err)
	}
	all := make(map[string]string)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all[filepath.Base(file)] = string(text)
	}
	return all
}

// has looks for texts that must be in a page in this order.
func has(t *testing.T, page string, want ...string) {
	t.Helper()
	rest := page
	for _, text := range want {
		_, after, found := strings.Cut(rest, text)
		if !found {
			t.Fatalf("there is no %q, or not in its place, in:\n%s", text, page)
		}
		rest = after
	}
}

func TestCommands(t *testing.T) {
	root := &cobra.Command{Use: "x", Short: "One /proc", Long: "A *b* <pid> of n[1-2].\n\nSee docs/y.md.", Version: "1"}
	sub := &cobra.Command{Use: "serve [flags] DIR", Short: "Serve", Example: "  x serve 'a*'", RunE: func(*cobra.Command, []string) error { return nil }}
	sub.Flags().StringP("config", "c", "/etc/x_y", "the `FILE` of <this>")
	sub.Flags().Bool("old", false, "gone")
	if err := sub.Flags().MarkHidden("old"); err != nil {
		t.Fatal(err)
	}
	hidden := &cobra.Command{Use: "hidden", Hidden: true, Run: func(*cobra.Command, []string) {}}
	root.AddCommand(sub, hidden)
	pages := write(t, Commands(root, []Page{{Name: "x-tree", Section: 7}}, "x serve")...)
	if len(pages) != 2 {
		t.Fatalf("%d pages", len(pages))
	}
	has(t, pages["x.1"], `.TH "X" "1" "2026`, `x \- one /proc`, "A *b* <pid> of n[1\\-2]", "See /usr/share/doc/x/docs/y", "Serve", `\fB\-\-version\fP`, `\fBx\-tree\fP(7), \fBx\-serve\fP(8)`)
	has(t, pages["x-serve.8"], "x serve [flags] DIR", `\fB\-c\fP, \fB\-\-config\fP=\fIFILE\fP`, "the FILE of <this> (default /etc/x_y)", "x serve 'a*'", `\fBx\fP(1)`)
	if strings.Contains(pages["x-serve.8"], "old") {
		t.Error("a hidden flag is shown")
	}
}

func TestDocument(t *testing.T) {
	dir := t.TempDir()
	path, other := filepath.Join(dir, "a.md"), filepath.Join(dir, "b.md")
	text := "# The tree\n\nSee [b.md](b.md#x), [the others](b.md), [below](#end) and [c.md](c.md).\n\n" +
		"| key | of | is |\n| --- | --- | --- |\n| `a` | b | c\\|d |\n| `e` | | f |\n\n| x | y |\n| --- | --- |\n| 1 | 2 |\n\n```\n| kept |\n```\n\n## The end\n\nof it\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := Document(path, map[string]Page{path: {Name: "a", Section: 7}, other: {Name: "b", Section: 5}})
	if err != nil {
		t.Fatal(err)
	}
	page := write(t, p)["a.7"]
	has(t, page, `a \- the tree`, `See \fBb\fP(5), the others (\fBb\fP(5)), below and `+dir+"/c.md.",
		".TP", `\fBa\fR`, `\fIof\fP: b; \fIis\fP: c|d`, `\fBe\fR`, `\fIis\fP: f`, "1\n2", "| kept |", ".SH The end", "of it")
	if err := os.WriteFile(path, []byte("no title\n\nat all"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Document(path, nil); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("without a title: %v", err)
	}
}

func TestExample(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.yaml")
	text := "# The configuration of x. All\n# in all.\nversion: 1\n\n# Where: here, with\n# {this: that}. So.\n# nodes:\n#   - {a: b} # c\nx: [1]\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := Example(path, map[string]Page{path: {Name: "x.yaml", Section: 5}}, Page{Name: "x-tree", Section: 7})
	if err != nil {
		t.Fatal(err)
	}
	has(t, write(t, p)["x.yaml.5"], `x\&.yaml \- the configuration of x`, "The configuration of x\\&. All\nin all", ".EX\nversion: 1\n.EE",
		"Where: here, with\n{this: that}", ".EX\nnodes:\n  \\- {a: b} # c\nx: [1]\n.EE", `\fBx\-tree\fP(7)`)
}

func TestCompletions(t *testing.T) {
	dir := t.TempDir()
	root := &cobra.Command{Use: "x", Run: func(*cobra.Command, []string) {}}
	if err := Completions(dir, root); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"bash-completion/completions/x", "zsh/site-functions/_x", "fish/vendor_completions.d/x.fish"} {
		if text, err := os.ReadFile(filepath.Join(dir, path)); err != nil || !strings.Contains(string(text), "completion") {
			t.Errorf("%s: %q, %v", path, text, err)
		}
	}
}

func TestSourceDate(t *testing.T) {
	t.Setenv("SOURCE_DATE_EPOCH", "yesterday")
	if _, err := SourceDate(); err == nil {
		t.Error("yesterday is a number")
	}
	t.Setenv("SOURCE_DATE_EPOCH", "1790000000")
	if date, err := SourceDate(); err != nil || date.Unix() != 1790000000 {
		t.Errorf("%v, %v", date, err)
	}
}
