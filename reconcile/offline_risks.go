package reconcile

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/gitfleet/gitfleet/api"
	"github.com/gitfleet/gitfleet/apply"
	"github.com/gitfleet/gitfleet/render"
	"github.com/gitfleet/gitfleet/report"
)

// risks returns what a reviewer should not overlook, by kind and message: besides what the plan itself shows, what members
// answered.
func risks(before, after outlook, changes []report.Change, answers []report.Risk) []report.Risk {
	list := slices.Concat(deleteRisks(changes), confirmRisk(before, after, changes), answers)
	for _, p := range after.Placements {
		where := fmt.Sprintf("placement %s (%s, document %d)", p.Key(), p.Origin.File, p.Origin.Document)
		if d := after.decisions[p.Key()]; len(d.Assignment.Clusters) == 0 {
			list = append(list, report.Risk{Kind: report.RiskNoCluster, Message: where + " runs on no cluster: " + d.Scheduled.Message})
		} else if d.Unfilled > 0 {
			list = append(list, report.Risk{Kind: report.RiskUnfilled, Message: where + ": " + d.Scheduled.Message})
		}
		if asked := propertiesOf([]render.Placement{p}); len(asked) > 0 && !after.seen {
			list = append(list, report.Risk{Kind: report.RiskProperties, Message: where + " goes by what members report (" +
				strings.Join(slices.Sorted(maps.Keys(asked)), ", ") + "), which only the running gitfleet knows: it may go elsewhere than planned here"})
		}
	}
	list = append(list, suspensions(after)...)
	list = append(list, exportConflicts(after)...)
	for _, n := range after.Notices {
		list = append(list, report.Risk{Kind: report.RiskNotice, Message: n.Error()})
	}
	for _, cluster := range slices.Sorted(maps.Keys(before.targets)) {
		if !after.registered[cluster] {
			list = append(list, report.Risk{Kind: report.RiskMemberRemoved, Message: fmt.Sprintf(
				"member %s is no longer registered: its %d objects stay there, and nobody tends them", cluster, len(before.holdings(cluster)))})
		}
	}
	if len(before.errs) > 0 {
		list = append(list, report.Risk{Kind: report.RiskBaseInvalid,
			Message: "the base could not be planned, so every object shows as new: " + before.errs[0].Error()})
	}
	slices.SortFunc(list, func(a, b report.Risk) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Message, b.Message))
	})
	return list
}

// suspensions tells what of the revision has no effect for now.
func suspensions(after outlook) []report.Risk {
	var list []report.Risk
	for _, p := range after.Placements {
		if p.Directives.Suspend {
			list = append(list, report.Risk{Kind: report.RiskSuspended, Message: fmt.Sprintf("placement %s is suspended: nothing of it is changed anywhere", p.Key())})
		}
	}
	for _, m := range after.Members {
		if m.Directives.Suspend {
			list = append(list, report.Risk{Kind: report.RiskSuspended, Message: fmt.Sprintf("member %s is suspended: nothing is changed on it", m.Name)})
		}
	}
	return list
}

// confirmRisk tells that the commit will wait for a person's word, as `gitfleet run` decides unless it is told otherwise.
func confirmRisk(before, after outlook, changes []report.Change) []report.Risk {
	removals, listed := 0, 0
	for _, c := range changes {
		if c.Action == apply.Delete {
			removals++
		}
	}
	for cluster := range after.registered {
		if n, seen := before.listed[cluster]; seen {
			listed += n
			continue
		}
		listed += len(before.holdings(cluster))
	}
	if len(after.errs) > 0 || !apply.TooMany(removals, listed, after.threshold) {
		return nil
	}
	return []report.Risk{{Kind: report.RiskConfirm, Message: fmt.Sprintf(
		"%d of %d objects are deleted: nothing will be until a commit confirms it with the trailer \"%s: %s\"; it may be this one",
		removals, listed, api.TrailerConfirm, after.digest())}}
}

// deleteRisks names each object whose deletion takes more with it, once for all its clusters.
func deleteRisks(changes []report.Change) []report.Risk {
	type loss struct {
		kind, takes string
		ref         api.Ref
	}
	clusters := map[loss][]string{}
	for _, c := range changes {
		if c.Action != apply.Delete {
			continue
		}
		if kind, takes := riskOfDeleting(c.Ref().Group, c.Kind); kind != "" {
			l := loss{kind: kind, takes: takes, ref: c.Ref()}
			clusters[l] = append(clusters[l], c.Cluster)
		}
	}
	var list []report.Risk
	for l, on := range clusters { // risks sorts
		list = append(list, report.Risk{Kind: l.kind, Message: fmt.Sprintf("%s is deleted on %s, %s", l.ref, report.NameClusters(on), l.takes)})
	}
	return list
}

// riskOfDeleting returns the kind of risk and what goes with the object; "" for kinds that take nothing along.
func riskOfDeleting(group, kind string) (risk, takes string) {
	switch group + "/" + kind {
	case "/Namespace":
		return report.RiskDeleteNamespace, "with everything in it; it is held while it contains what others made"
	case "apiextensions.k8s.io/CustomResourceDefinition":
		return report.RiskDeleteCRD, "with every object of its kind; it is held while others made some"
	case "/PersistentVolume", "/PersistentVolumeClaim":
		return report.RiskDeleteStorage, "and the data with it, unless the volume is retained"
	case "apps/StatefulSet":
		return report.RiskDeleteStorage, "and the claims of its volumes lose their user"
	}
	return "", ""
}
