package control

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// An Action is what is to be done with a process, in one spelling, see ParseAction.
type Action struct {
	Verb string
	Args []string
}

func (a Action) String() string { return strings.Join(append([]string{a.Verb}, a.Args...), " ") }

// A verb is one kind of action.
type verb struct {
	args []func(string) (string, error) // what checks each argument, and gives it one spelling
	kind string                         // in Kinds; "" where it only reads
	// what it may be done to besides a process
	groups, threads bool
}

var verbs = map[string]verb{
	"signal":   {[]func(string) (string, error){signalArg}, "signal", true, true},
	"sigqueue": {[]func(string) (string, error){signalArg, valueArg}, "signal", false, true},
	"nice":     {[]func(string) (string, error){niceArg}, "nice", true, true},
	"affinity": {[]func(string) (string, error){cpusArg}, "affinity", false, true},
	"ioprio":   {[]func(string) (string, error){ioprioArg}, "ioprio", true, true},
	"sched":    {[]func(string) (string, error){policyArg, numberArg}, "sched", false, true},
	"rlimit":   {[]func(string) (string, error){resourceArg, limitsArg}, "rlimit", false, true},

	"probe":        {nil, "", true, true},
	"get-nice":     {nil, "", true, true},
	"get-affinity": {nil, "", false, true},
	"get-ioprio":   {nil, "", true, true},
	"get-sched":    {nil, "", false, true},
	"get-rlimit":   {[]func(string) (string, error){resourceArg}, "", false, true},
	"getpgid":      {nil, "", false, true},
	"getsid":       {nil, "", false, true},
}

// plan9 are words of Plan 9's proc(3) that stand for an action as they are.
var plan9 = map[string]Action{
	"kill":      {"signal", []string{"KILL"}},
	"stop":      {"signal", []string{"STOP"}},
	"start":     {"signal", []string{"CONT"}},
	"hangup":    {"signal", []string{"HUP"}},
	"interrupt": {"signal", []string{"INT"}},
}

// Kinds are the kinds of actions that a policy may allow, one by one.
func Kinds() []string { return []string{"signal", "nice", "affinity", "ioprio", "sched", "rlimit"} }

// Kind is that of an action, one of Kinds; "" is that it only reads.
func (a Action) Kind() string {
	if a.Verb == "signal" && len(a.Args) == 1 && a.Args[0] == "0" {
		return ""
	}
	return verbs[a.Verb].kind
}

// ForGroups and ForThreads report whether it can be done to a process group, or to one thread.
func (a Action) ForGroups() bool { return verbs[a.Verb].groups }

// ForThreads is said of ForGroups.
func (a Action) ForThreads() bool { return verbs[a.Verb].threads }

// ParseAction reads the words of an action, and gives it one spelling: signal names without
// SIG, numbers of signals, policies and resources by their names where they have one, processors
// by rising number. The error is for people; it is EINVAL to a client.
func ParseAction(words []string) (Action, error) {
	if len(words) == 0 {
		return Action{}, fmt.Errorf("no action is named")
	}
	name, args := words[0], words[1:]
	if a, ok := plan9[name]; ok && len(args) == 0 {
		return a, nil
	}
	if len(args) == 1 && name == "pri" {
		n, err := strconv.Atoi(args[0])
		if err != nil || n < 0 || n > 30 {
			return Action{}, fmt.Errorf("pri %s: a priority is a number from 0 to 30", clip(args[0]))
		}
		name, args = "nice", []string{strconv.Itoa(10 - n)}
	}
	if len(args) == 1 && name == "wired" {
		name = "affinity"
	}
	v, ok := verbs[name]
	if !ok {
		return Action{}, fmt.Errorf("unknown action %s; there are %s", clip(name), strings.Join(Verbs(), ", "))
	}
	if len(args) != len(v.args) {
		return Action{}, fmt.Errorf("%s takes %d arguments, and there are %d", name, len(v.args), len(args))
	}
	a := Action{Verb: name}
	for i, check := range v.args {
		text, err := check(args[i])
		if err != nil {
			return Action{}, fmt.Errorf("%s %s: %w", name, clip(args[i]), err)
		}
		a.Args = append(a.Args, text)
	}
	return a, nil
}

// Verbs are the names of all actions, sorted.
func Verbs() []string {
	all := make([]string, 0, len(verbs))
	for name := range verbs {
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}

// clip is a client's word for a message.
func clip(word string) string {
	if len(word) > 64 {
		word = word[:64] + "..."
	}
	return strconv.Quote(word)
}

// numberArg is any int of C.
func numberArg(text string) (string, error) {
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil {
		return "", fmt.Errorf("no number from %d to %d", math.MinInt32, math.MaxInt32)
	}
	return strconv.FormatInt(n, 10), nil
}

// niceArg is a nice value, from -20 to 19: setpriority(2) brings others there, too.
func niceArg(text string) (string, error) {
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil {
		return "", fmt.Errorf("no number from -20 to 19")
	}
	return strconv.FormatInt(min(max(n, -20), 19), 10), nil
}

// valueArg is the value of a queued signal: an int of C, or the number of bits of one.
func valueArg(text string) (string, error) {
	n, err := strconv.ParseInt(text, 0, 64)
	if err != nil || n < math.MinInt32 || n > math.MaxUint32 {
		return "", fmt.Errorf("no number of 32 bits")
	}
	return strconv.FormatInt(n, 10), nil
}
