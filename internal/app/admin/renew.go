package admin

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/aggrfs/aggrfs/internal/app/exit"
	"github.com/aggrfs/aggrfs/internal/certs"
	"github.com/aggrfs/aggrfs/pkg/aggregate/report"
	"github.com/aggrfs/aggrfs/pkg/nodeset"
)

// unusable is the state of a file that is no certificate of the CA.
const unusable = "unusable"

// StatusCerts prints how the certificates are that the authority in dir has issued, those that end on the
// same day in one line, and fails if any are not well.
func StatusCerts(out io.Writer, dir string) error {
	ca, err := certs.OpenCA(dir)
	if err != nil {
		return err
	}
	issued, err := ca.Issued()
	if err != nil {
		return err
	}
	now := time.Now()
	life := certs.LifeOf(time.Time{}, ca.Until(), now)
	lines := []report.Part{{Name: "ca", State: string(life), Detail: "until " + ca.Until().Format(time.DateOnly)}}
	if life != certs.Good {
		lines[0].Detail += ": make a new one in another directory, and put its ca.crt beside the old one on every machine"
	}
	type kind struct{ state, text string }
	by := make(map[kind][]string)
	for _, i := range issued {
		life := certs.LifeOf(i.From, i.Until, now)
		k := kind{string(life), "until " + i.Until.Format(time.DateOnly)}
		switch {
		case i.Err != nil:
			lines = append(lines, report.Part{Name: "certificate", State: unusable, Detail: i.Err.Error()})
			continue
		case life == certs.Ended, life == certs.Ending:
			k.text += ": aggrfs certs renew --dir " + dir
		}
		by[k] = append(by[k], i.Name)
	}
	kinds := slices.SortedFunc(maps.Keys(by), func(a, b kind) int { return cmp.Or(cmp.Compare(a.text, b.text), cmp.Compare(a.state, b.state)) })
	for _, k := range kinds {
		lines = append(lines, report.Part{Name: "certificate", State: k.state, Detail: nodeset.Of(by[k]...).String() + ", " + k.text})
	}
	if _, err := out.Write(report.EncodeStatus(lines)); err != nil {
		return err
	}
	if slices.ContainsFunc(lines, func(l report.Part) bool { return l.State != report.OK }) {
		return exit.Absentf("not all are well: see the lines that are not ok")
	}
	return nil
}

// RenewCerts makes those certificates anew, by the authority in dir, that end within some days, and prints
// which.
func RenewCerts(out io.Writer, dir string, within, days int) error {
	if within < 0 || within >= days {
		return exit.Usagef("--within %d: certificates that are good for %d days cannot be renewed that long before they end", within, days)
	}
	ca, err := certs.OpenCA(dir)
	if err != nil {
		return err
	}
	issued, err := ca.Issued()
	if err != nil {
		return err
	}
	by := time.Now().AddDate(0, 0, within)
	var done []string
	var failed []error
	for _, i := range issued {
		if i.Err != nil {
			failed = append(failed, i.Err)
			continue
		}
		if i.Until.After(by) {
			continue
		}
		if _, err := ca.Renew(i.Name, days); err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", i.Name, err))
			continue
		}
		done = append(done, i.Name)
	}
	if len(done) == 0 {
		fmt.Fprintf(out, "None of the %d certificates in %s were renewed: none ends before %s\n", len(issued)-len(failed), dir, by.Format(time.DateOnly))
	} else {
		fmt.Fprintf(out, "Renewed in %s: %s\nCopy NAME.crt and NAME.key to each machine NAME, into %s; nothing needs a restart.\n", dir, nodeset.Of(done...), tlsDir)
	}
	return errors.Join(failed...)
}
