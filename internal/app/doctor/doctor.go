// Package doctor looks at the machine that it runs on for what keeps aggrfs or procsrv from
// working there, and says what helps.
//
// Nothing is changed and nothing is asked of others: each check reads what the kernel says, or
// files, as this process may. What it may not see it does not call well.
package doctor

import (
	"fmt"
	"io"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aggrfs/aggrfs/internal/app/exit"
	"github.com/aggrfs/aggrfs/internal/certs"
	"github.com/aggrfs/aggrfs/internal/config"
	"github.com/aggrfs/aggrfs/pkg/aggregate/report"
)

// Options are what is looked at beside the machine.
type Options struct {
	Config  string      // of a head node; "" is none
	TLS     certs.Files // of a node; zero is none
	Name    string      // that must be in that certificate; "" is any
	Listen  []string    // addresses besides those of Config
	Version string      // of this program
}

// The states of a check beside report.OK.
const (
	wrong   = "wrong"   // and the detail says what helps
	look    = "look"    // it may be in the way of something, and may be meant so
	unknown = "unknown" // this user may not see it
)

// A machine is where the kernel says how it is.
type machine struct {
	proc, dev, sys string
	adjtimex       func(*unix.Timex) (int, error)
	now            func() time.Time
	version        string
}

// Run prints a line for each check. It fails if anything is wrong, which is in the lines, or not
// known.
func Run(out io.Writer, o Options, asJSON bool) error {
	m := machine{proc: "/proc", dev: "/dev", sys: "/sys", adjtimex: unix.Adjtimex, now: time.Now, version: o.Version}
	lines := m.checks(o)
	var err error
	if asJSON {
		err = report.WriteRows(out, report.Answer{At: m.now()}, lines)
	} else {
		_, err = out.Write(report.EncodeStatus(lines))
	}
	if err != nil {
		return err
	}
	return result(lines)
}

// result is the error that goes with the lines.
func result(lines []report.Part) error {
	count := make(map[string]int)
	for _, l := range lines {
		count[l.State]++
	}
	switch {
	case count[wrong] > 0:
		return exit.Absentf("%d of %d checks are wrong: each says what helps", count[wrong], len(lines))
	case count[unknown] > 0:
		return exit.NotKnown(fmt.Errorf("%d of %d checks cannot be made by this user: run it as root", count[unknown], len(lines)))
	}
	return nil
}

// checks are all of them.
func (m machine) checks(o Options) []report.Part {
	lines := []report.Part{m.versions(), m.fuse(), m.device(), m.userNamespaces(), m.procfs(), m.capabilities(), m.clock()}
	lines = append(lines, m.security()...)
	addresses := o.Listen
	if o.Config != "" {
		cfg, err := config.Load(o.Config)
		if err != nil {
			lines = append(lines, report.Part{Name: "configuration", State: wrong, Detail: err.Error()})
		} else {
			lines = append(lines, report.Part{Name: "configuration", State: report.OK, Detail: o.Config}, descriptors(cfg))
			addresses = append(cfg.Listen, addresses...)
			if cfg.TLS != (config.TLS{}) {
				lines = append(lines, m.certificates(certs.Files(cfg.TLS), cfg.Head)...)
			}
		}
	}
	if o.TLS != (certs.Files{}) {
		lines = append(lines, m.certificates(o.TLS, o.Name)...)
	}
	for _, a := range addresses {
		lines = append(lines, m.address(a))
	}
	return lines
}
