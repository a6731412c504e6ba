// Command release makes the packages of aggrfs: deb and rpm, of the head node and of a node,
// for each architecture, and their checksums.
//
//	release -source DIR -out DIR
//
// What is in the packages "make install" has put together, for a prefix of /usr; here it is
// only divided. The same source gives the same bytes: programs, files and packages have the
// time in $SOURCE_DATE_EPOCH, that of the commit, and $VERSION is what git calls it. "make
// release" sets both.
package main

import (
	"crypto/sha256"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A release is what all packages have in common.
type release struct {
	source  string    // the directory of the source
	out     string    // where the packages go
	scratch string    // removed at the end
	version string    // of the programs, as git calls it
	date    time.Time // of the source
}

func main() {
	var r release
	flag.StringVar(&r.source, "source", "../..", "the `DIR` of the source")
	flag.StringVar(&r.out, "out", "../../dist", "write the packages to this `DIR`, in place of those that are there")
	arches := flag.String("arch", "amd64,arm64", "for these `ARCHITECTURES`, as Go names them")
	flag.Parse()
	if err := r.run(strings.Split(*arches, ",")); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

func (r *release) run(arches []string) (err error) {
	seconds, err := strconv.ParseInt(os.Getenv("SOURCE_DATE_EPOCH"), 10, 64)
	if err != nil {
		return fmt.Errorf("SOURCE_DATE_EPOCH: %w (use make release)", err)
	}
	r.date = time.Unix(seconds, 0).UTC()
	if r.version = os.Getenv("VERSION"); r.version == "" {
		return fmt.Errorf("VERSION is not set (use make release)")
	}
	if r.source, err = filepath.Abs(r.source); err != nil {
		return err
	}
	if r.scratch, err = os.MkdirTemp("", "aggrfs-release-"); err != nil {
		return err
	}
	defer os.RemoveAll(r.scratch)
	if err := os.MkdirAll(r.out, 0o755); err != nil {
		return err
	}
	for _, pattern := range []string{"*.deb", "*.rpm", "SHA256SUMS"} {
		old, _ := filepath.Glob(filepath.Join(r.out, pattern))
		for _, name := range old {
			if err := os.Remove(name); err != nil {
				return err
			}
		}
	}
	var made []string
	for _, arch := range arches {
		root, err := r.install(arch)
		if err != nil {
			return err
		}
		for _, p := range packages() {
			for _, format := range []string{"deb", "rpm"} {
				name, err := r.pack(p, format, arch, root)
				if err != nil {
					return fmt.Errorf("%s for %s as %s: %w", p.name, arch, format, err)
				}
				made = append(made, name)
			}
		}
	}
	return r.sum(made)
}

// install has the programs built and put together with all that belongs to them, below the
// directory that it returns.
func (r *release) install(arch string) (string, error) {
	root := filepath.Join(r.scratch, arch)
	cmd := exec.Command("make", "-s", "install", "PREFIX=/usr", "SYSCONFDIR=/etc", "VERSION="+r.version, "BIN="+filepath.Join(r.scratch, "bin-"+arch), "DESTDIR="+root)
	cmd.Dir = r.source
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "MAKE") && !strings.HasPrefix(v, "MFLAGS") { // those of a make that runs this
			cmd.Env = append(cmd.Env, v)
		}
	}
	// A build for the machine at hand is one for the plainest of its kind, as one for another
	// machine is.
	cmd.Env = append(cmd.Env, "GOOS=linux", "GOARCH="+arch, "GOFLAGS=-buildvcs=false", "GOAMD64=v1", "GOARM64=v8.0", "GOEXPERIMENT=")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%v: %w\n%s", cmd, err, out)
	}
	return root, nil
}

// sum writes the packages' checksums, for sha256sum -c.
func (r *release) sum(names []string) error {
	slices.Sort(names)
	var sums strings.Builder
	for _, name := range names {
		data, err := os.ReadFile(filepath.Join(r.out, name))
		if err != nil {
			return err
		}
		fmt.Fprintf(&sums, "%x  %s\n", sha256.Sum256(data), name)
	}
	return os.WriteFile(filepath.Join(r.out, "SHA256SUMS"), []byte(sums.String()), 0o644)
}
