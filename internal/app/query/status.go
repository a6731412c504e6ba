package query

import (
	"context"
	"errors"
	"fmt"
	"io"
	"syscall"

	"github.com/aggrfs/aggrfs/internal/app/client"
	"github.com/aggrfs/aggrfs/internal/app/exit"
	"github.com/aggrfs/aggrfs/pkg/aggregate/report"
)

// Status prints how the front end is. It fails if anything is not well: which is in the table.
func Status(ctx context.Context, src *client.Source, out io.Writer, asJSON bool) error {
	tree, err := src.OpenTable(ctx)
	if err != nil {
		return err
	}
	defer tree.Close()
	text, err := tree.Read(ctx, "cluster", "status")
	if errors.Is(err, syscall.ENOENT) {
		return fmt.Errorf("the server does not say how it is to you: it is older than this program, or you do not see the whole cluster (see aggrfs whoami)")
	}
	if err != nil {
		return err
	}
	parts, err := report.ParseStatus(text)
	if err != nil {
		return err
	}
	if asJSON {
		text, err = tree.Read(ctx, "cluster", "status.json")
	}
	if err == nil {
		_, err = out.Write(text)
	}
	if err != nil {
		return err
	}
	for _, p := range parts {
		if p.State != report.OK {
			return exit.Absentf("not all is well: see the rows that are not ok")
		}
	}
	return nil
}
