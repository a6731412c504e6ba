package admin

import (
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/aggrfs/aggrfs/internal/certs"
	"github.com/aggrfs/aggrfs/pkg/nodeset"
)

// tlsDir is where the documentation puts a machine's files.
const tlsDir = "/etc/aggrfs/tls"

// InitCA makes a certificate authority in dir and prints what to do next.
func InitCA(out io.Writer, dir string) error {
	ca, err := certs.Init(dir)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, `Made a CA in %[1]s, good until %[2]s.
Whoever has %[3]s can pass for any node and any user: it stays here. Keep a copy
where nobody else gets at it.
Next, a certificate for each machine:  aggrfs certs issue --dir %[1]s HEAD,NODES
`, dir, ca.Until().Format(time.DateOnly), filepath.Join(dir, "ca.key"))
	return nil
}

// IssueCerts makes a certificate, good for that many days, for each name of a nodeset, by the
// certificate authority in dir, and prints what to do with them.
func IssueCerts(out io.Writer, dir, nodes string, days int) error {
	names, err := nodeset.Parse(nodes)
	if err != nil {
		return err
	}
	ca, err := certs.OpenCA(dir)
	if err != nil {
		return err
	}
	var until time.Time
	done := make([]string, 0, names.Len())
	for name := range names.All() {
		if until, err = ca.Issue(name, days); err != nil {
			if len(done) > 0 {
				err = fmt.Errorf("%s: %w (done before it: %s)", name, err, nodeset.Of(done...))
			}
			return err
		}
		done = append(done, name)
	}
	fmt.Fprintf(out, `Issued in %[1]s, good until %[2]s: %[3]s
Copy to each machine NAME, into %[4]s: NAME.crt, NAME.key (mode 0600) and ca.crt.
Once a key has been copied, delete it here: nothing here needs it any more.
On a node:      procsrv --listen tls:0.0.0.0:5640 --tls-cert %[4]s/NAME.crt --tls-key %[4]s/NAME.key --tls-ca %[4]s/ca.crt --front-end HEAD
On the head:    tls: {cert: %[4]s/HEAD.crt, key: %[4]s/HEAD.key, ca: %[4]s/ca.crt}  in the configuration
`, dir, until.Format(time.DateOnly), names, tlsDir)
	return nil
}
