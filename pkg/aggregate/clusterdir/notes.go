package clusterdir

import (
	"fmt"
	"strings"
	"sync"

	"github.com/aggrfs/aggrfs/pkg/aggregate/report"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// What Note may be about.
const (
	NoteConfiguration = "configuration"
	NotePolicy        = "policy"
)

// Others are the parts that a program tells of itself besides those of its tree, to one
// identity: to who sees everything, or of what is theirs alone. It answers at once.
type Others func(who vfs.Identity, everything bool) []report.Part

// notes are what the program has told of itself. All of it is guarded by mu.
type notes struct {
	mu      sync.Mutex
	all     map[string]report.Part // what is wrong, by what it is about
	inForce report.Part            // of the configuration
	others  []Others
}

// Note notes what is wrong with a part of the front end, for cluster/status; nil is
// that nothing is.
func (t *Tables) Note(what string, err error) {
	if err == nil {
		t.note(what, "", "")
		return
	}
	t.note(what, "refused", err.Error()+"; what was in force stays")
}

// Warn notes what deserves a look in a part that is in force; nothing is that nothing
// does.
func (t *Tables) Warn(what string, warnings []string) {
	if len(warnings) == 0 {
		t.note(what, "", "")
		return
	}
	first, _, _ := strings.Cut(warnings[0], "\n") // without the line of the file
	text := "in force; " + first
	if more := len(warnings) - 1; more > 0 {
		text = fmt.Sprintf("in force; %s; and %d more warnings in the log", first, more)
	}
	t.note(what, "doubtful", text)
}

// note replaces what is noted of a part; no state is that it is well.
func (t *Tables) note(what, state, text string) {
	t.notes.mu.Lock()
	defer t.notes.mu.Unlock()
	if state == "" {
		delete(t.notes.all, what)
		return
	}
	if t.notes.all == nil {
		t.notes.all = make(map[string]report.Part)
	}
	t.notes.all[what] = report.Part{Name: what, State: state, Since: t.Now(), Detail: text}
}

// InForce notes which configuration is in force, from now on.
func (t *Tables) InForce(path string) {
	t.notes.mu.Lock()
	defer t.notes.mu.Unlock()
	t.notes.inForce = report.Part{Since: t.Now(), Detail: path}
}

// Tell has cluster/status tell those parts, too.
func (t *Tables) Tell(of Others) {
	t.notes.mu.Lock()
	defer t.notes.mu.Unlock()
	t.notes.others = append(t.notes.others, of)
}

// noted is a part of which something may have been noted; well is how it is else.
func (t *Tables) noted(well report.Part) report.Part {
	t.notes.mu.Lock()
	defer t.notes.mu.Unlock()
	if part, wrong := t.notes.all[well.Name]; wrong {
		return part
	}
	if well.Name == NoteConfiguration && t.notes.inForce.Detail != "" {
		well.Since, well.Detail = t.notes.inForce.Since, t.notes.inForce.Detail
	}
	return well
}

// others are the parts that the program tells of itself.
func (t *Tables) others(who vfs.Identity, everything bool) (all []report.Part) {
	t.notes.mu.Lock()
	tell := t.notes.others
	t.notes.mu.Unlock()
	for _, of := range tell {
		all = append(all, of(who, everything)...)
	}
	return all
}
