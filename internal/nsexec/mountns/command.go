package mountns

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
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
