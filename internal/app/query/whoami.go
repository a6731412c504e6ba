package query

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/aggrfs/aggrfs/internal/app/client"
	"github.com/aggrfs/aggrfs/pkg/aggregate/report"
)

// Whoami prints who the user is to the server or, where none is asked, to the kernel.
func Whoami(ctx context.Context, src *client.Source, out io.Writer, asJSON bool) error {
	tree, err := src.OpenTable(ctx)
	if err != nil {
		return err
	}
	defer tree.Close()
	at := time.Now()
	var text []byte
	if tree.Origin == client.OfServer || src.As != "" {
		text, err = tree.Read(ctx, "cluster", "whoami")
	} else {
		text, err = ownWhoami(ctx, src, tree)
	}
	if err != nil {
		return err
	}
	if asJSON {
		return report.WriteRows(out, report.Answer{At: at}, []report.Whoami{report.ParseWhoami(text)})
	}
	_, err = out.Write(text)
	return err
}

// ownWhoami is what cluster/whoami is where this process reads for its user alone: the
// tree that it makes for itself has no view, and takes the user for root.
func ownWhoami(ctx context.Context, src *client.Source, t *client.Tree) ([]byte, error) {
	who, err := client.Self()
	if err != nil {
		return nil, err
	}
	names, err := t.NodeNames(ctx)
	if err != nil {
		return nil, err
	}
	groups := []string{fmt.Sprint(who.GID)}
	for _, g := range who.Groups {
		groups = append(groups, fmt.Sprint(g))
	}
	rule, place := "none: this machine alone, without a server; the kernel decides what you see", ""
	if t.Origin == client.OfNodes {
		rule, place = "none: you connect to the nodes yourself, without a server; they decide what you see", src.Config
	}
	return report.EncodeWhoami(report.Whoami{
		User: report.UserText(src.Users.UserName(who.UID), who.UID), Groups: strings.Join(groups, ","),
		Rule: rule, Place: place, Nodes: report.NodesText(names), Processes: "all that you are shown",
	}), nil
}
