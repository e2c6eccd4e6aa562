package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gitfleet/gitfleet/placement/offline"
	"github.com/gitfleet/gitfleet/report"
)

// exitUnfulfilled is how `schedule` exits when a placement does not get the clusters that it asks for.
const exitUnfulfilled = 2

// scheduleOptions is what `gitfleet schedule` was told.
type scheduleOptions struct {
	files  []string
	now    string
	output string
}

func newSchedule() *cobra.Command {
	var o scheduleOptions
	cmd := &cobra.Command{
		Use:   "schedule -f FILE|DIR...",
		Short: "Decide from files alone which clusters placements go to, and why",
		Long: `schedule reads MemberClusters and placements from files and prints, for every placement, which clusters it is
given, how they were ranked, and what kept the others out. It asks no cluster and writes nothing.

A file may hold many documents, and lists as 'kubectl get -o yaml' prints them. Of a directory every .yaml, .yml and
.json file in it and below is read. Documents of other kinds are ignored, but a kind that the fleet's API does not have
is a mistake.

The state of things is read from the status of the same documents. Of a MemberCluster its properties, resource usage
and agent's heartbeat count; one without a status is eligible. A placement is where its status.placementStatuses say,
and keeps those clusters when its Scheduled condition is about the present metadata.generation. When that is about
another generation, the policy counts as changed and decides afresh. A placement without a status is new.

It exits with 0 when every placement is fulfilled, with 2 when one is not, and with 1 when the input is invalid.`,
		Example: `  gitfleet schedule -f members.yaml -f placement.yaml
  gitfleet schedule -f fleet/ --now 2026-03-01T12:00:00Z -o json
  kubectl get memberclusters,clusterresourceplacements -o yaml | gitfleet schedule -f -`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("unexpected argument %q: name files and directories after -f", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runSchedule(cmd, o)
		},
	}
	flags := cmd.Flags()
	flags.StringArrayVarP(&o.files, "filename", "f", nil, "`FILE` or directory to read, or - for standard input; may be given again")
	flags.StringVar(&o.now, "now", "", "`TIME` to decide at, such as 2026-03-01T12:00:00Z; heartbeats age (default the present)")
	flags.StringVarP(&o.output, "output", "o", "table", "`FORMAT`: table or json")
	return cmd
}

// validate returns the time to decide at, or what is wrong with the options.
func (o scheduleOptions) validate() (time.Time, error) {
	switch {
	case len(o.files) == 0:
		return time.Time{}, errors.New("nothing to read: name files or directories after -f, or - for standard input")
	case o.output != "table" && o.output != "json":
		return time.Time{}, fmt.Errorf("--output %q: want table or json", o.output)
	case o.now == "":
		return time.Now(), nil
	}
	now, err := time.Parse(time.RFC3339, o.now)
	if err != nil {
		return time.Time{}, fmt.Errorf("--now %q: want a time such as 2026-03-01T12:00:00Z (RFC 3339)", o.now)
	}
	return now, nil
}

func runSchedule(cmd *cobra.Command, o scheduleOptions) error {
	now, err := o.validate()
	if err != nil {
		return err
	}
	in, err := offline.Read(readDocuments(o.files, cmd.InOrStdin()))
	if err != nil {
		return printAuthorErrors(cmd, err)
	}
	if len(in.Placements) == 0 {
		return errors.New(strings.Join(append([]string{"no placement was found: name files with a ClusterResourcePlacement or " +
			"ResourcePlacement after -f"}, in.Notices()...), "; "))
	}
	decisions := in.Decide(now)
	if o.output == "json" {
		err = report.ScheduleJSON(cmd.OutOrStdout(), decisions)
	} else {
		for _, n := range in.Notices() {
			fmt.Fprintln(cmd.ErrOrStderr(), "notice:", n)
		}
		err = report.ScheduleTable(cmd.OutOrStdout(), decisions)
	}
	if err != nil {
		return err
	}
	for _, d := range decisions {
		if d.Scheduled.Status != "True" {
			return exitCode(exitUnfulfilled)
		}
	}
	return nil
}
