package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/gitfleet/gitfleet/internal/web"
	"github.com/gitfleet/gitfleet/render"
	"github.com/gitfleet/gitfleet/report"
)

func newGet() *cobra.Command {
	var server, output string
	cmd := &cobra.Command{
		Use:   "get placements|members|serviceexports|serviceimports|multiclusterservices|commits",
		Short: "Print what the running gitfleet knows, as kubectl would",
		Long: `Print what the running gitfleet knows, as kubectl would. Names of kinds are taken in the singular and short, too;
clusterresourceplacements (crp) and resourceplacements (rp) are one kind of placements only. With -o json or yaml,
placements and members are printed as Kubernetes objects with their status.`,
		Example: `  gitfleet get placements
  gitfleet get members -o wide
  gitfleet get crp -o yaml`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return fmt.Errorf("want one kind, got %d; see '%s --help'", len(args), cmd.CommandPath())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if !isOutput(output) {
				return fmt.Errorf("--output %q: want wide, json or yaml", output)
			}
			if err := report.Table(io.Discard, report.Report{}, args[0], false, time.Now()); err != nil {
				return err // the kind is wrong, whoever is asked
			}
			r, err := web.FetchStatus(cmd.Context(), server)
			if err != nil {
				return err
			}
			warnOf(cmd.ErrOrStderr(), r)
			return printReport(cmd.OutOrStdout(), r, args[0], output)
		},
	}
	addServerFlag(cmd, &server)
	cmd.Flags().StringVarP(&output, "output", "o", "", "wide, json or yaml")
	return cmd
}

// addServerFlag adds the flag that names the running gitfleet.
func addServerFlag(cmd *cobra.Command, server *string) {
	cmd.Flags().StringVar(server, "server", "http://127.0.0.1:8484", "address that the running gitfleet listens on")
}

// warnOf says when the tables are not about the newest commit, which they cannot show.
func warnOf(w io.Writer, r report.Report) {
	if r.SourceErr != "" {
		fmt.Fprintln(w, "warning: repository:", r.SourceErr)
	}
	if len(r.Errors) > 0 {
		fmt.Fprintf(w, "warning: commit %.12s is refused, %.12s stays in force:\n%s\n", r.Head.Commit, r.Applied.Commit, render.ManifestErrors(r.Errors))
	}
}

func isOutput(output string) bool {
	return output == "" || output == "wide" || output == "json" || output == "yaml"
}

func printReport(w io.Writer, r report.Report, kind, output string) error {
	if output == "" || output == "wide" {
		return report.Table(w, r, kind, output == "wide", time.Now())
	}
	return report.List(w, r, kind, output)
}
