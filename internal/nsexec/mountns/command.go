package mountns

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Exit statuses of a command that could not be run; env(1), timeout(1) and the
// shells use the same.
const (
	CodeFailed     = 125 // it was not tried
	CodeCannotExec = 126 // the command was found and cannot be executed
	CodeNotFound   = 127 // there is no such command
)

// defaultPath is where commands are looked for when PATH is not set, as
// execvp(3) does.
const defaultPath = "/bin:/usr/bin"

// Become replaces this process by the command, with that environment. When it
// cannot, it says why on stderr and returns the exit status that stands for it.
func Become(name string, argv, env []string) int {
	// Whoever stands in /proc stands below the tree.
	if wd, err := os.Getwd(); err == nil && (wd == Procfs || strings.HasPrefix(wd, Procfs+"/")) {
		os.Chdir(wd) // stays where it is if the tree has no such directory
	}
	code, why := execute(argv, env)
	fmt.Fprintf(os.Stderr, "%s: %s: %s\n", name, argv[0], why)
	return code
}

// execute is execvp(3) with reasons.
func execute(argv, env []string) (code int, why string) {
	code, why = CodeNotFound, "command not found"
	for _, path := range candidates(argv[0], env) {
		err := syscall.Exec(path, argv, env)
		if err == syscall.ENOEXEC { // a script without "#!"
			err = syscall.Exec("/bin/sh", append([]string{"sh", path}, argv[1:]...), env)
		}
		switch _, missing := os.Stat(path); {
		case missing != nil && strings.Contains(argv[0], "/"):
			return CodeNotFound, missing.(*os.PathError).Err.Error()
		case missing != nil:
			// look on
		case err == syscall.ENOENT:
			return CodeCannotExec, path + ": the interpreter it names does not exist"
		case err == syscall.EACCES:
			// Another directory may have one that can be executed.
			code, why = CodeCannotExec, path+": permission denied (is it an executable file?)"
		default:
			return CodeCannotExec, path + ": " + err.Error()
		}
	}
	return code, why
}

// candidates are the paths that a command's name can stand for.
func candidates(name string, env []string) []string {
	if strings.Contains(name, "/") {
		return []string{name}
	}
	if name == "" {
		return nil
	}
	path := defaultPath
	for _, entry := range slices.Backward(env) { // the first is the one
		if value, ok := strings.CutPrefix(entry, "PATH="); ok {
			path = value
		}
	}
	var paths []string
	for _, dir := range filepath.SplitList(path) {
		if dir == "" {
			dir = "."
		}
		paths = append(paths, dir+"/"+name)
	}
	return paths
}

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

// Drop gives up all capabilities of the calling thread, for good: setuid
// programs and those with capabilities of their own gain nothing any more. The
// bounding set stays where CAP_SETPCAP is missing; without new privileges it
// bounds nothing that could be had.
func Drop() error {
	for c := uintptr(0); c < 64; c++ {
		if unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0) != nil {
			break // not allowed, or behind the last one
		}
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return fmt.Errorf("drop the ambient capabilities: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("set no_new_privs: %w", err)
	}
	var none [2]unix.CapUserData
	if err := unix.Capset(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &none[0]); err != nil {
		return fmt.Errorf("drop the capabilities: %w", err)
	}
	return nil
}
