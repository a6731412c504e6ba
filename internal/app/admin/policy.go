// Package admin is what an administrator does beside the running system: write and check a
// cache policy, ask why a file is cached as it is, and make certificates.
package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"

	"github.com/aggrfs/aggrfs/configs"
	"github.com/aggrfs/aggrfs/internal/app/client"
	"github.com/aggrfs/aggrfs/internal/app/exit"
	"github.com/aggrfs/aggrfs/pkg/aggregate"
	"github.com/aggrfs/aggrfs/pkg/cachepolicy"
	"github.com/aggrfs/aggrfs/pkg/nodeset"
)

// CheckPolicy prints what the cache policy in a file is. Its mistakes, all of them, are the
// error.
func CheckPolicy(out io.Writer, file string) error {
	p, err := cachepolicy.LoadOwn(file)
	if faults := cachepolicy.Faults(err); len(faults) > 0 {
		return fmt.Errorf("%d %s in the cache policy:\n%w", len(faults), plural(len(faults), "mistake"), err)
	}
	if err != nil {
		return err
	}
	for _, w := range p.Warnings() {
		fmt.Fprintln(out, w)
	}
	sweep := "nothing along"
	if files := p.Prefetch(); len(files) > 0 {
		sweep = strings.Join(files, ", ")
	}
	_, err = fmt.Fprintf(out, "%s: %d %s, no mistake; a sweep brings %s\n", file, len(p.Rules)-1, plural(len(p.Rules)-1, "rule"), sweep)
	return err
}

func plural(n int, one string) string {
	if n == 1 {
		return one
	}
	return one + "s"
}

// ShowPolicy prints the cache policy in a file; "" is the built-in one.
func ShowPolicy(out io.Writer, file string) error {
	text := configs.CachePolicy
	if file != "" {
		if _, err := cachepolicy.LoadOwn(file); err != nil {
			return err
		}
		var err error
		if text, err = os.ReadFile(file); err != nil {
			return err
		}
	}
	_, err := out.Write(text)
	return err
}

// ExplainPolicy prints which rule of a cache policy is for path on a node, "" is any. The policy
// is that in file or, where that is "", a running server's or the built-in one.
func ExplainPolicy(ctx context.Context, src *client.Source, out io.Writer, file, node, path string) error {
	p := cachepolicy.Default()
	if file != "" {
		var err error
		if p, err = cachepolicy.LoadOwn(file); err != nil {
			return err
		}
	}
	if set, err := nodeset.Parse(node); node != "" && (err != nil || set.Len() != 1 || !set.Contains(node)) {
		return exit.Usagef("--node %q: it takes the name of one node", node)
	}
	e, err := p.Explain(node, path)
	if err != nil {
		return err
	}
	text := e.Text(path)
	if file == "" && (src.Named() != "" || src.HasCluster()) {
		running, err := explainedByServer(ctx, src, node, path)
		switch {
		case err == nil:
			text = running
		case src.Named() != "":
			return err
		default:
			src.Tell("this is the built-in policy, not the server's: %v", err)
		}
	}
	_, err = out.Write(text)
	return err
}

// explainedByServer is the explanation of a running server.
func explainedByServer(ctx context.Context, src *client.Source, node, path string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, client.OpenTimeout)
	defer cancel()
	tree, err := src.Connect(ctx)
	if err != nil {
		return nil, err
	}
	defer tree.Close()
	text, err := tree.Read(ctx, "cluster", "explain", aggregate.ExplainName(node, path))
	if errors.Is(err, syscall.ENOENT) {
		err = fmt.Errorf("the server explains its policy only to those who see everything, and only for nodes of its cluster: %w", err)
	}
	return text, err
}
