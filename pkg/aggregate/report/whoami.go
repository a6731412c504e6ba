package report

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/aggrfs/aggrfs/internal/plaintext"
	"github.com/aggrfs/aggrfs/pkg/nodeset"
)

// A Whoami is who the reader is to a front end, what they may see, and which rule says so. Its
// file has a line for each fact: the fact's name, then the fact.
type Whoami struct {
	User        string `column:"user,fact"`   // see UserText
	Groups      string `column:"groups,fact"` // numbers, with commas
	Certificate string `column:"certificate,fact"`
	Rule        string `column:"rule,fact"`        // by which they see what they see
	Place       string `column:"place,fact"`       // of the rule
	Nodes       string `column:"nodes,fact"`       // see NodesText
	Processes   string `column:"processes,fact"`   // whose: "all", or users
	Denied      string `column:"denied,fact"`      // patterns of files
	Control     string `column:"control,optional"` // what they may do to processes
	Until       string `column:"until,optional"`
	Allocations string `column:"allocations,optional"` // how old they are
}

// EncodeWhoami writes cluster/whoami.
func EncodeWhoami(w Whoami) []byte {
	var lines [][]string
	for _, f := range fieldsOf[Whoami]() {
		if fact := f.cell(&w); fact != "" || f.option != "optional" {
			lines = append(lines, []string{f.name, fact})
		}
	}
	return plaintext.Table(lines)
}

// ParseWhoami reads cluster/whoami.
func ParseWhoami(text []byte) (w Whoami) {
	fields := fieldsOf[Whoami]()
	for line := range strings.Lines(string(text)) {
		name, fact, _ := strings.Cut(strings.TrimRight(line, "\n"), " ")
		if i := slices.IndexFunc(fields, func(f field) bool { return f.name == name }); i >= 0 {
			_ = setCell(fields[i].at(&w), strings.TrimLeft(fact, " ")) // any text is a fact
		}
	}
	return w
}

// UserText is a user by name and number, "bob (1002)", or the number where that is all.
func UserText(name string, uid uint32) string {
	number := strconv.FormatUint(uint64(uid), 10)
	if name == number {
		return number
	}
	return name + " (" + number + ")"
}

// UserName is the user's name, or number, in such a text.
func UserName(text string) string {
	if at := strings.LastIndex(text, " ("); at >= 0 {
		return text[:at]
	}
	return text
}

// NodesText is how many nodes they are, and which.
func NodesText(names []string) string {
	return fmt.Sprintf("%d: %s", len(names), plaintext.Cell(nodeset.Of(names...).String()))
}
