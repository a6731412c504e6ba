package mountns

import "strings"

// hidden is what stands before each variable in an environment that is only passed
// on: no program knows variables of such a name. The Go runtime takes GODEBUG,
// GOGC, GOMAXPROCS and others from the environment before anything of a program runs,
// and a program that has rights that its caller lacks must not be steered by that.
const hidden = "aggrfs-exec:"

// traceback is what the Go runtime adds to the environment of a program with a file
// capability (secureEnv in its security_unix.go), in place of any other of that name.
const traceback = "GOTRACEBACK=none"

// Hide is an environment in which nothing has the name that it has in env.
func Hide(env []string) []string {
	out := make([]string, len(env))
	for i, entry := range env {
		out[i] = hidden + entry
	}
	return out
}

// Hidden reports whether an environment is one of Hide, but for what the runtime adds.
func Hidden(env []string) bool {
	for _, entry := range env {
		if !strings.HasPrefix(entry, hidden) && entry != traceback {
			return false
		}
	}
	return true
}

// Shown is what Hide made env of.
func Shown(env []string) []string {
	var out []string
	for _, entry := range env {
		if entry, ok := strings.CutPrefix(entry, hidden); ok {
			out = append(out, entry)
		}
	}
	return out
}
