package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"github.com/aggrfs/aggrfs/pkg/nodeset"
	"github.com/aggrfs/aggrfs/test/procsim"
)

// serveNodes is the second process: it serves simulated nodes until its standard input
// ends, and does what the lines there say.
func serveNodes(args []string) error {
	flags := flag.NewFlagSet("nodes", flag.ContinueOnError)
	dir := flags.String("dir", "", "where the sockets are")
	names := flags.String("names", "n[1-10]", "the nodes")
	procs := flags.Int("procs", 200, "processes of each")
	faulty := flags.Int("faulty", 0, "how many can be made to fail")
	if err := flags.Parse(args); err != nil {
		return err
	}
	set, err := nodeset.Parse(*names)
	if err != nil {
		return err
	}
	c, err := procsim.Serve(*dir, set.Names(), 1, *procs, *faulty)
	if err != nil {
		return err
	}
	fmt.Println("ok")
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		var share float64
		var hang, die, garbage int
		var path string
		switch line := in.Text(); {
		case scans(line, "churn %g", &share):
			c.Churn(share)
		case scans(line, "live %g", &share):
			c.Live(share)
		case line == "freeze", line == "thaw":
			c.Freeze(line == "freeze")
		case scans(line, "counted %s", &path):
			figures, sweeps, others := c.Counts()
			if err := os.WriteFile(path, fmt.Appendln(nil, figures, sweeps, others), 0o600); err != nil {
				return errors.Join(err, c.Close())
			}
		case line == "mark":
			c.Mark()
		case scans(line, "throughout %s", &path):
			if err := writeThroughout(c, path); err != nil {
				return errors.Join(err, c.Close())
			}
		case scans(line, "fail %d %d %d", &hang, &die, &garbage):
			c.Fail(hang, die, garbage)
		default:
			return errors.Join(fmt.Errorf("what is %q?", line), c.Close())
		}
		fmt.Println("ok")
	}
	return c.Close()
}

// writeThroughout writes the processes that have lived since the mark to a file, a line each:
// the node and the pid there.
func writeThroughout(c *procsim.Cluster, path string) error {
	var b bytes.Buffer
	c.Throughout(func(node string, pid int) { fmt.Fprintln(&b, node, pid) })
	return os.WriteFile(path, b.Bytes(), 0o600)
}

func scans(line, format string, into ...any) bool {
	n, _ := fmt.Sscanf(line, format, into...)
	return n == len(into)
}

// simulated is the second process as the first has it.
type simulated struct {
	dir   string
	names []string
	cmd   *exec.Cmd
	in    io.WriteCloser
	out   *bufio.Reader
}

// simulate starts nodes n0001 and so on.
func simulate(ctx context.Context, nodes, procs, faulty int) (*simulated, error) {
	dir, err := os.MkdirTemp("", "aggrfs-scale-")
	if err != nil {
		return nil, err
	}
	set := fmt.Sprintf("n[0001-%04d]", nodes)
	s := &simulated{dir: dir}
	parsed, err := nodeset.Parse(set)
	if err != nil {
		return nil, err
	}
	s.names = parsed.Names()
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	s.cmd = exec.CommandContext(ctx, self, "nodes", "-dir", dir, "-names", set, "-procs", fmt.Sprint(procs), "-faulty", fmt.Sprint(faulty))
	s.cmd.Stderr = os.Stderr
	if s.in, err = s.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	s.out = bufio.NewReader(out)
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	if err := s.ok(); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *simulated) address(name string) string { return "unix:" + s.dir + "/" + name + ".sock" }

// do has the second process do something.
func (s *simulated) do(format string, args ...any) error {
	if _, err := fmt.Fprintf(s.in, format+"\n", args...); err != nil {
		return err
	}
	return s.ok()
}

func (s *simulated) ok() error {
	line, err := s.out.ReadString('\n')
	if err != nil || strings.TrimSpace(line) != "ok" {
		return fmt.Errorf("the simulated nodes say %q: %w", line, err)
	}
	return nil
}

func (s *simulated) close() error {
	s.in.Close()
	return errors.Join(s.cmd.Wait(), os.RemoveAll(s.dir))
}
