package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// write writes to dir what only packages have: the licences of all that the programs are made
// of and, for Debian, copyright and changelog.
func (r *release) write(p pkg, format, dir string) error {
	licence, err := os.ReadFile(filepath.Join(r.source, "LICENSE"))
	if err != nil {
		return err
	}
	others, err := r.dependencies(p)
	if err != nil {
		return err
	}
	doc := filepath.Join(dir, "usr/share/doc", p.name)
	if err := os.MkdirAll(doc, 0o755); err != nil {
		return err
	}
	texts := map[string]string{"dependencies.txt": others}
	if format == "deb" {
		texts["copyright"] = copyright(string(licence))
		texts["changelog"] = fmt.Sprintf("%s (%s) unstable; urgency=medium\n\n  * %s\n\n -- %s  %s\n",
			p.name, packageVersion(r.version, r.date), history, maintainer, r.date.Format("Mon, 02 Jan 2006 15:04:05 -0700"))
	} else {
		texts["LICENSE"] = string(licence)
	}
	for name, text := range texts {
		if err := os.WriteFile(filepath.Join(doc, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	if format == "deb" {
		changelog := filepath.Join(doc, "changelog")
		if err := compress(changelog, changelog+".gz"); err != nil {
			return err
		}
		if err := os.Remove(changelog); err != nil {
			return err
		}
		return overrides(p, filepath.Join(dir, "usr/share/lintian/overrides"))
	}
	return nil
}

// history is what the changelogs say, which both formats want to have.
const history = "The history of the source is at " + homepage + "."

// changelog writes rpm's, as nfpm reads it.
func (r *release) changelog(path string) error {
	text := fmt.Sprintf("- semver: %q\n  date: %s\n  packager: %q\n  changes:\n    - note: %q\n",
		packageVersion(r.version, r.date)+"-1", r.date.Format(time.RFC3339), maintainer, history)
	return os.WriteFile(path, []byte(text), 0o644)
}

// copyright is the licence as Debian has it (copyright-format 1.0).
func copyright(licence string) string {
	_, text, _ := strings.Cut(licence, "\n\n") // below the title
	holder, text, _ := strings.Cut(text, "\n\n")
	var b strings.Builder
	fmt.Fprintf(&b, "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\nUpstream-Name: aggrfs\nSource: %s\n"+
		"Comment: The programs are linked statically. What they contain of others, and under\n which licences, is in dependencies.txt beside this file.\n\n"+
		"Files: *\nCopyright: %s\nLicense: Expat\n", homepage, strings.TrimPrefix(holder, "Copyright (c) "))
	for line := range strings.Lines(strings.TrimSpace(text) + "\n") {
		if line == "\n" {
			line = ".\n"
		}
		b.WriteString(" " + line)
	}
	return b.String()
}

// legal are the files of a module that go with what is built of it.
var legal = regexp.MustCompile(`(?i)^(licen[cs]e|copying|notice)`)

// dependencies are the licences of the modules that are in a package's programs, and Go's,
// which all ask for being passed on with what is built of them.
func (r *release) dependencies(p pkg) (string, error) {
	args := []string{"list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}}\t{{.Dir}}{{end}}{{end}}"}
	for _, program := range p.programs {
		args = append(args, "./cmd/"+program)
	}
	list, err := r.output("go", args...)
	if err != nil {
		return "", err
	}
	goroot, err := r.output("go", "env", "GOVERSION", "GOROOT")
	if err != nil {
		return "", err
	}
	modules := strings.Split(strings.TrimSpace(list), "\n")
	slices.Sort(modules)
	modules = append(slices.Compact(modules), "the Go standard library "+strings.Replace(strings.TrimSpace(goroot), "\n", "\t", 1))
	var b strings.Builder
	b.WriteString("What the programs of this package contain beside their own source.\n")
	for _, module := range modules {
		name, dir, found := strings.Cut(module, "\t")
		if !found {
			continue // a program without any
		}
		files, err := os.ReadDir(dir)
		if err != nil {
			return "", err
		}
		files = slices.DeleteFunc(files, func(f os.DirEntry) bool { return !legal.MatchString(f.Name()) })
		if len(files) == 0 {
			return "", fmt.Errorf("there is no licence of %s in %s", name, dir)
		}
		for _, f := range files {
			text, err := os.ReadFile(filepath.Join(dir, f.Name()))
			if err != nil {
				return "", err
			}
			fmt.Fprintf(&b, "\n---- %s: %s\n\n%s\n", name, f.Name(), bytes.TrimSpace(text))
		}
	}
	return b.String(), nil
}

// output is what a command prints that runs in the source.
func (r *release) output(name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	cmd.Dir = r.source
	cmd.Env = append(os.Environ(), "GOOS=linux", "CGO_ENABLED=0")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%v: %w\n%s", cmd, err, &stderr)
	}
	return string(out), nil
}

// overrides says to lintian what is meant to be as it is.
func overrides(p pkg, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	text := "# One program is for every distribution, old ones too.\n" + p.name + ": statically-linked-binary *\n" +
		"# The scripts are rpm's as well, which knows no deb-systemd-invoke.\n" + p.name + ": maintainer-script-calls-systemctl *\n"
	return os.WriteFile(filepath.Join(dir, p.name), []byte(text), 0o644)
}

// compress writes a file compressed, without its name and time.
func compress(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return err
	}
	if _, err := w.Write(data); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return os.WriteFile(to, b.Bytes(), 0o644)
}
