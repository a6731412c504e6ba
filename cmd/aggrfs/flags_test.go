package main

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/aggrfs/aggrfs/internal/app/exit"
	"github.com/aggrfs/aggrfs/internal/nsexec"
)

// A wrong command line is told in the words of this program, with what is probably meant.
func TestArguments(t *testing.T) {
	elsewhere(t)
	for line, want := range map[string]string{
		"nodes n1":                        "nodes takes no arguments; did you mean --nodes n1?",
		"nodes n1 n2":                     "nodes takes no arguments; did you mean --nodes n1,n2?",
		"whoami ann":                      "whoami takes no arguments; did you mean --as ann?",
		"serve x.yaml":                    "serve takes no arguments; did you mean --config x.yaml?",
		"where":                           "where needs one process: a GPID or NODE:PID",
		"where n1:1 n1:2":                 "where needs one process: a GPID or NODE:PID, and there are 2: n1:1 n1:2",
		"mount":                           "mount needs one directory",
		"mount --type nfs /global":        "--type nfs: the type is fuse or 9p",
		"ps aux more":                     "ps takes one argument, such as aux, and there are 2: aux more",
		"ps --local --config x":           "--server, --config and --local exclude each other",
		"ps --server unix:/x --local":     "--server, --config and --local exclude each other",
		"exec --local --config x -- true": "--server, --config and --local exclude each other",
		"mount --local --allow-other --as x /mnt": "--allow-other and --as exclude each other",
		"policy explain --server x --policy y z":  "--server and --policy exclude each other",
	} {
		status := exit.Usage
		if strings.HasPrefix(line, "exec") {
			status = nsexec.CodeFailed
		}
		if r := runLine(t, strings.Fields(line)...); r.status != status || r.out != "" || r.stderr != "aggrfs: "+want+"\n" {
			t.Errorf("%s: %+v", line, r)
		}
	}
}

// Every pair of flags that cobra is told to exclude each other is told in our words.
func TestExclusiveFlags(t *testing.T) {
	pairs := 0
	var look func(*cobra.Command)
	look = func(cmd *cobra.Command) {
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			for _, group := range f.Annotations["cobra_annotation_mutually_exclusive"] {
				for other := range strings.FieldsSeq(group) {
					if other == f.Name {
						continue
					}
					pairs++
					fresh, _, err := newApp().command().Find(strings.Fields(cmd.CommandPath())[1:])
					if err != nil {
						t.Fatal(err)
					}
					fresh.Flags().Set(f.Name, "true")
					fresh.Flags().Set(other, "true")
					if err := exclusiveFlags(fresh); err == nil || !strings.Contains(err.Error(), "exclude each other") || !strings.Contains(err.Error(), "--"+f.Name) || !strings.Contains(err.Error(), "--"+other) {
						t.Errorf("%s --%s --%s: %v", cmd.CommandPath(), f.Name, other, err)
					}
				}
			}
		})
		for _, sub := range cmd.Commands() {
			look(sub)
		}
	}
	look(newApp().command())
	if pairs < 10 {
		t.Errorf("%d pairs of flags exclude each other", pairs)
	}
}
