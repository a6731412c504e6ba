package client

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/aggrfs/aggrfs/internal/app/exit"
)

// --nodes add up, and --exclude takes away; what is not there is named.
func TestNodesFlags(t *testing.T) {
	known := strings.Fields("head n1 n2 n3 n4")
	names := func(context.Context) ([]string, error) { return known, nil }
	for _, tc := range []struct {
		nodes, exclude []string
		want           string // path, or what the error says
		tells          string
	}{
		{nil, nil, "", ""},
		{[]string{"n1"}, nil, "/sets/n1", ""},
		{[]string{"n1", "n[3-4]", "n1"}, nil, "/sets/n[1,3-4]", ""},
		{nil, []string{"n2"}, "/sets/head,n[1,3-4]", ""},
		{[]string{"n[1-4]"}, []string{"n1", "n[3-4]"}, "/sets/n2", ""},
		{[]string{"n[1-4]"}, []string{""}, "/sets/n[1-4]", ""},
		{nil, []string{""}, "", ""},
		{[]string{"n[1-4]"}, []string{"n[2,9]"}, "/sets/n[1,3-4]", "--exclude: n9 is not in the cluster"},
		{[]string{"n1"}, []string{"n[1-2]"}, "leaves no node", ""},
		{[]string{""}, nil, "--nodes: the nodeset is empty (an unset variable?)", ""},
		{[]string{"n1", " "}, nil, "unset variable", ""},
		{[]string{"n["}, nil, "--nodes", ""},
		{nil, []string{"n["}, "--exclude", ""},
	} {
		var tells strings.Builder
		s := Source{Env: &Env{Stderr: &tells}, Nodes: tc.nodes, Exclude: tc.exclude}
		got, err := s.RootPath(t.Context(), names)
		if err != nil {
			got = err.Error()
			if exit.Status(err) != exit.Usage || !strings.Contains(got, tc.want) {
				t.Errorf("%q less %q: %v", tc.nodes, tc.exclude, err)
			}
		} else if got != tc.want {
			t.Errorf("%q less %q: %q", tc.nodes, tc.exclude, got)
		}
		if !strings.Contains(tells.String(), tc.tells) || tc.tells == "" && tells.Len() > 0 {
			t.Errorf("%q less %q tells %q", tc.nodes, tc.exclude, &tells)
		}
	}
	down := errors.New("no answer")
	s := Source{Exclude: []string{"n1"}}
	if _, err := s.RootPath(t.Context(), func(context.Context) ([]string, error) { return nil, down }); !errors.Is(err, down) {
		t.Errorf("where the names are not known: %v", err)
	}
	for nodes, want := range map[string]string{
		"n9":         "--nodes: n9 is not in the cluster, or not in your view, which has head,n[1-4]",
		"n[1-2]":     "",
		"n1,x7,zzz3": "--nodes: x7,zzz3 are not in the cluster",
		"n03":        "(did you mean n3?)",
		"haed":       "(did you mean head?)",
	} {
		s := Source{Nodes: []string{nodes}}
		err := s.unknownNodes(t.Context(), names)
		if (err == nil) != (want == "") || err != nil && (!strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "did you mean") && !strings.Contains(want, "did you mean")) {
			t.Errorf("%s: %v", nodes, err)
		}
	}
}
