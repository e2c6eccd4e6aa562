package crd

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	"github.com/gitfleet/gitfleet/api"
)

// TestTables checks the columns that kubectl prints, which it shows in capitals after NAME, against those of the how-to
// and of KubeFleet; a column in brackets is printed with -o wide only.
func TestTables(t *testing.T) {
	want := map[string][]string{
		"clusterresourceplacements": {"Gen", "[Type]", "Scheduled", "ScheduledGen", "[Work-Synchronized]", "[Work-Synchronized-Gen]",
			"Applied", "AppliedGen", "[Available]", "[AvailableGen]", "Age"},
		"resourceplacements": {"Gen", "[Type]", "Scheduled", "ScheduledGen", "[Work-Synchronized]", "[Work-Synchronized-Gen]",
			"Applied", "AppliedGen", "[Available]", "[AvailableGen]", "Age"},
		"clusterresourceplacementstatuses": {"Resource-Index", "Last-Updated", "Age"},
		"memberclusters": {"Joined", "Age", "Member-Agent-Last-Seen", "Node-Count", "Available-CPU", "Available-Memory",
			"[Allocatable-CPU]", "[Allocatable-Memory]"},
		"serviceexports":       {"Is-Valid", "Is-Conflicted", "Age"},
		"serviceimports":       nil,
		"multiclusterservices": {"Service-Import", "External-IP", "Is-Valid", "Age"},
	}
	shortNames := map[string]string{"clusterresourceplacements": "crp", "resourceplacements": "rp",
		"clusterresourceplacementstatuses": "crps", "memberclusters": "cluster", "serviceexports": "svcexport",
		"serviceimports": "svcimport", "multiclusterservices": "mcs"}
	for _, u := range append(Hub(), Member()...) {
		var def apiextensionsv1.CustomResourceDefinition
		if err := api.DecodeStrict(u, &def); err != nil {
			t.Fatalf("%s: %v", u.GetName(), err)
		}
		plural := def.Spec.Names.Plural
		for _, v := range def.Spec.Versions {
			var got []string
			for _, c := range v.AdditionalPrinterColumns {
				name := c.Name
				if c.Priority > 0 {
					name = "[" + name + "]"
				}
				got = append(got, name)
			}
			if diff := cmp.Diff(want[plural], got); diff != "" {
				t.Errorf("columns of %s %s, want - got +:\n%s", plural, v.Name, diff)
			}
			// A ClusterResourcePlacementStatus is nothing but a status, which stands at the top level.
			if has := v.Subresources != nil && v.Subresources.Status != nil; has == (plural == "clusterresourceplacementstatuses") {
				t.Errorf("%s %s: it is %v that it has a status subresource", plural, v.Name, has)
			}
		}
		if diff := cmp.Diff([]string{shortNames[plural]}, def.Spec.Names.ShortNames); diff != "" {
			t.Errorf("short names of %s, want - got +:\n%s", plural, diff)
		}
		delete(want, plural)
	}
	if len(want) > 0 {
		t.Errorf("not embedded: %v", want)
	}
}

// TestOwned proves that a caller may change what it gets.
func TestOwned(t *testing.T) {
	Hub()[0].SetName("changed")
	if name := Hub()[0].GetName(); name != "clusterresourceplacements.placement.kubernetes-fleet.io" {
		t.Errorf("a change of one caller shows in the next: %s", name)
	}
}
