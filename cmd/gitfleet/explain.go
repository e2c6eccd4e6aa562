package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/gitfleet/gitfleet/internal/web"
	"github.com/gitfleet/gitfleet/report"
)

func newExplain() *cobra.Command {
	var server string
	cmd := &cobra.Command{
		Use:   "explain placement/NAME | member/NAME | KIND/NAMESPACE/NAME",
		Short: "Say why something is where it is, and what it waits for",
		Long: `explain asks the running gitfleet about one placement, one member or one object: which file and commit put it where it is, how it
fares on each cluster, what it waits for, and what was lately put back after somebody changed it. Of a ServiceExport, ServiceImport or
MultiClusterService it also says who exports the service, who lost a conflict and why, and which endpoints get no connections.`,
		Example: `  gitfleet explain Deployment/shop/web
  gitfleet explain Namespace/shop
  gitfleet explain member/aks-member-1
  gitfleet explain serviceimport/shop/web
  gitfleet explain placement/shop`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return fmt.Errorf("want one thing to explain, got %d; see '%s --help'", len(args), cmd.CommandPath())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := web.FetchStatus(cmd.Context(), server)
			if err != nil {
				return err
			}
			warnOf(cmd.ErrOrStderr(), r)
			return report.Explain(cmd.OutOrStdout(), r, args[0], time.Now())
		},
	}
	addServerFlag(cmd, &server)
	return cmd
}
