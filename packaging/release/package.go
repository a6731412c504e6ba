package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/goreleaser/nfpm/v2"
	_ "github.com/goreleaser/nfpm/v2/deb" // registers the format
	"github.com/goreleaser/nfpm/v2/files"
	_ "github.com/goreleaser/nfpm/v2/rpm" // registers the format
)

const (
	homepage   = "https://github.com/aggrfs/aggrfs"
	maintainer = "The aggrfs authors <aggrfs@users.noreply.github.com>"
)

// A pkg is one of the packages.
type pkg struct {
	name, summary, description string
	programs                   []string // as their directories below cmd/ are called
	node                       bool     // it is that of a node: it has all that is called after procsrv
	depends                    map[string][]string
	recommends                 map[string][]string
}

// packages are that of the head node and that of all other nodes.
func packages() []pkg {
	return []pkg{{
		name: "aggrfs", summary: "One /proc for all nodes of a cluster, for the head node",
		description: "aggrfs merges the processes of many nodes, each of which runs procsrv (package\n" +
			"aggrfs-node), into one tree in which unmodified ps, top and pgrep work, and\n" +
			"shows each user what that user may see. This package has the server, the\n" +
			"commands, and a helper by which users mount the tree for their commands.",
		programs:   []string{"aggrfs", "aggrfs-ns"},
		depends:    map[string][]string{"deb": {"systemd", "libcap2-bin"}, "rpm": {"systemd", "/usr/sbin/setcap", "/bin/sh"}},
		recommends: map[string][]string{"deb": {"fuse3"}, "rpm": {"fuse3"}},
	}, {
		name: "aggrfs-node", summary: "One /proc for all nodes of a cluster, for each node",
		description: "procsrv exports the /proc of a node over 9P to aggrfs on the head node (package\n" +
			"aggrfs). It reads for each user with that user's rights, and changes nothing.",
		programs: []string{"procsrv"},
		node:     true,
		depends:  map[string][]string{"deb": {"systemd"}, "rpm": {"systemd", "/bin/sh"}},
	}}
}

// describe is what git describe says of a commit behind a tag of a version.
var describe = regexp.MustCompile(`^v?(\d[\d.]*)(?:-(\d+)-(g[0-9a-f]+))?(-dirty)?$`)

// packageVersion is a version that dpkg and rpm sort as the commits are: 1.2, 1.2+5.g1234567 and,
// without a tag, the time of the commit and its name, below all that have one.
func packageVersion(version string, date time.Time) string {
	part := describe.FindStringSubmatch(version)
	if part == nil || part[2] == "" && !strings.Contains(part[1], ".") { // a name of digits alone is no tag
		return fmt.Sprintf("0~%s.%s", date.Format("20060102150405"), strings.ReplaceAll(version, "-", "."))
	}
	v := part[1]
	if part[2] != "" {
		v += "+" + part[2] + "." + part[3]
	}
	return v + strings.ReplaceAll(part[4], "-", "+")
}

// pack makes one package of what is installed below root, and returns its file's name.
func (r *release) pack(p pkg, format, arch, root string) (string, error) {
	contents, err := r.contents(p, format, arch, root)
	if err != nil {
		return "", err
	}
	script := func(when string) string {
		return filepath.Join(r.source, "packaging/scripts", p.name+"."+when)
	}
	info := nfpm.WithDefaults(&nfpm.Info{
		Name: p.name, Arch: arch, Platform: "linux", Version: packageVersion(r.version, r.date), VersionSchema: "none", Release: map[string]string{"rpm": "1"}[format],
		Section: "admin", Priority: "optional", Maintainer: maintainer, Vendor: "aggrfs", Homepage: homepage, License: "MIT", MTime: r.date,
		Description: strings.ToLower(p.summary[:1]) + p.summary[1:] + "\n" + p.description, DisableGlobbing: true,
		Overridables: nfpm.Overridables{
			Depends: p.depends[format], Recommends: p.recommends[format], Contents: contents, Umask: 0o022,
			Scripts: nfpm.Scripts{PostInstall: script("postinstall"), PreRemove: script("preremove"), PostRemove: script("postremove")},
			Deb:     nfpm.Deb{Compression: "gzip"},
			RPM:     nfpm.RPM{Summary: p.summary, Group: "System Environment/Daemons", Compression: "gzip", BuildHost: "localhost", Packager: maintainer},
		},
	})
	if format == "rpm" {
		info.Description = p.description
		info.Changelog = filepath.Join(r.scratch, "changelog.yaml")
		if err := r.changelog(info.Changelog); err != nil {
			return "", err
		}
	} else {
		info.License = "" // no field of Debian's: the file copyright has it
	}
	packager, err := nfpm.Get(format)
	if err != nil {
		return "", err
	}
	if err := nfpm.PrepareForPackager(info, format); err != nil {
		return "", err
	}
	name := packager.ConventionalFileName(info)
	file, err := os.Create(filepath.Join(r.out, name))
	if err != nil {
		return "", err
	}
	if err := packager.Package(info, file); err != nil {
		file.Close()
		return "", err
	}
	return name, file.Close()
}

// owned are the directories that are a package's own, with what is below them.
var owned = regexp.MustCompile(`^/(etc|usr/libexec|usr/share/doc)/aggrfs(-node)?(/|$)`)

// contents are the files of a package. Those below root that are called after procsrv are the
// node's, all others the head's.
func (r *release) contents(p pkg, format, arch, root string) (files.Contents, error) {
	dir := filepath.Join(r.scratch, "files", arch, format, p.name)
	if err := r.write(p, format, dir); err != nil {
		return nil, err
	}
	var all files.Contents
	directories := make(map[string]bool)
	for _, from := range []string{root, dir} {
		err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
			to := strings.TrimPrefix(path, from)
			if err != nil {
				return err
			}
			if d.IsDir() {
				if owned.MatchString(to) && !directories[to] && (from == dir || !p.node) {
					directories[to] = true
					all = append(all, &files.Content{Destination: to, Type: files.TypeDir, FileInfo: &files.ContentFileInfo{Mode: 0o755, MTime: r.date}})
				}
				return nil
			}
			node := strings.HasPrefix(strings.TrimPrefix(d.Name(), "_"), "procsrv")
			if from == root && (node != p.node || d.Name() == "LICENSE") {
				return nil
			}
			c, err := r.content(path, to, format, dir+".gz")
			all = append(all, c)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

// content is a file of a package where the format wants it; what is to be compressed is
// written to a directory.
func (r *release) content(path, to, format, compressed string) (*files.Content, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	c := &files.Content{Source: path, Destination: to, Type: files.TypeFile, FileInfo: &files.ContentFileInfo{Mode: info.Mode().Perm(), MTime: r.date}}
	const man, zsh, doc = "/usr/share/man/", "/usr/share/zsh/site-functions/", "/usr/share/doc/"
	switch {
	case strings.HasPrefix(to, "/etc/"):
		c.Type = files.TypeConfigNoReplace
	case strings.HasPrefix(to, man):
		if format == "rpm" {
			c.Type = files.TypeRPMDoc
		}
		c.Source, c.Destination = filepath.Join(compressed, filepath.Base(to)), to+".gz"
		if err := compress(path, c.Source); err != nil {
			return nil, err
		}
	case strings.HasPrefix(to, zsh) && format == "deb":
		c.Destination = "/usr/share/zsh/vendor-completions/" + filepath.Base(to)
	case strings.HasPrefix(to, doc) && format == "rpm":
		c.Type = files.TypeRPMDoc
	}
	return c, nil
}
