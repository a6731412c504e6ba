package command

import (
	"fmt"
	"strings"

	"github.com/aggrfs/aggrfs/internal/plaintext"
)

// An Error is why a command gave nothing.
type Error struct {
	// Argv is the command.
	Argv []string
	// Brief is what happened: "exited 1", "no end after 10s". It has nothing of what
	// the command printed.
	Brief string
	// Complaint is the beginning of what the command wrote to its standard error, on
	// one line and escaped; "" is nothing.
	Complaint string
}

// Error names the command, what happened, and its complaint.
func (e *Error) Error() string {
	text := fmt.Sprintf("command %s: %s", plaintext.Escape(strings.Join(e.Argv, " ")), e.Brief)
	if e.Complaint != "" {
		text += ": " + e.Complaint
	}
	return text
}

// complaint makes one line of what was written to standard error.
func complaint(text string) string {
	return plaintext.Escape(strings.Join(strings.Fields(text), " "))
}
